"""New, changed and removed items into a published bundle, as its next version.

Vectors come from the bundle's own towers; the index stays as it is, and what it lacks is searched exactly beside it.
Where that grows too long the index is built again, of the same kind and layout (compaction).
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from configs.data import FILTER
from configs.errors import UserError
from configs.schema import Config
from pipelines.compaction import compact_if_due, judged, tuned
from pipelines.embedding import available, embedded, refuse_without_towers
from pipelines.evaluation.bootstrap import Interval
from pipelines.prepare import read_items
from pipelines.publish import partial_version, root_id
from serving.bundle import Bundle
from serving.computed import renew
from serving.delta import Items, Outcome, Variables, rows_of, touched, with_items
from serving.filters import filter_values
from serving.golden import GOLDEN, answer_golden
from serving.manifest import MANIFEST, described, hold_against, manifest_of, newest, seal, versions
from serving.popular import POPULAR, read_popular, write_popular
from serving.state import STATE, add_titles
from serving.variables import names_of_variables, read_variables, write_variables


@dataclass(frozen=True)
class Upserted:
    """The published version, what it changed, seconds that embedding, writing and checking took, and, where the index
    was built again, what it then retrieves of the best for stored queries."""

    version: Path
    outcome: Outcome
    seconds: dict[str, float]
    recall: Interval | None


def upsert(
    path: Path, items: Path | None, remove: Sequence[str] = (), now: int | None = None, compact: bool = False
) -> Upserted:
    """Publish the next version of the bundle at `path`, a model's folder or its newest version.

    items: a table with the columns that the bundle's config names, a row for each item that is new or changed; remove:
    ids that must not be recommended any more; now: when it is, unix seconds; items that are available later are not
    shown yet; compact: build the index again over all items, as is done anyhow where more would stand beside it, or be
    out of date in it, than `index.delta` allows.
    Raises: UserError; nothing is published then.
    """
    started = time.perf_counter()
    base = newest(path.resolve())
    _refuse_older(base)
    manifest = manifest_of(base)
    refuse_without_towers("upsert", manifest, str(base))
    bundle = Bundle(base, manifest)
    now = int(time.time()) if now is None else now
    stored, table, found = _embedded(bundle, items, now)
    read = time.perf_counter()
    try:
        variables, outcome = with_items(stored, found, list(remove), manifest["filters"])
    except ValueError as error:
        raise UserError(f"upsert: {error}") from None
    variables, outcome, compact = compact_if_due(manifest, bundle.config, variables, outcome, compact)
    with partial_version(base.parent) as partial:
        shutil.copytree(base, partial, dirs_exist_ok=True, ignore=shutil.ignore_patterns("variables", MANIFEST))
        write_variables(partial, variables, others=base)
        renew(partial, rows_of(variables, found.ids), len(variables["ids/ids"]) - 1, now)
        _renew_beside(partial, table, found, list(remove))
        written = time.perf_counter()
        recall = _checked(partial, _facts(manifest, variables, found, outcome), variables if compact else None)
        version = _next(partial, base)
    seconds = {"embed": read - started, "write": written - read, "check": time.perf_counter() - written}
    return Upserted(version, outcome, seconds, recall)


def _embedded(bundle: Bundle, path: Path | None, now: int) -> tuple[Variables, pd.DataFrame, Items]:
    """The bundle's variables that putting items in reads, the item table, and what the towers make of it.

    The bundle's files are held against its manifest meanwhile: loading, reading and hashing leave the interpreter to
    others.
    """
    base = bundle.folder
    with ThreadPoolExecutor(2) as beside:
        loaded = beside.submit(lambda: bundle.session)
        stored = beside.submit(lambda: read_variables(base, touched(names_of_variables(base))))
        hold_against(base, bundle.manifest)
        table = _read(bundle.config, path)
        loaded.result()
        found = _items(bundle, table, now)
        bundle.session.close()  # the next version needs the room
        return stored.result(), table, found


def _renew_beside(partial: Path, table: pd.DataFrame, found: Items, removed: Sequence[str]) -> None:
    """What the version says of items beside its graph."""
    titles = dict(zip(found.ids, table["title"].astype(str), strict=True))
    add_titles(partial / STATE, titles.items())
    if popular := read_popular(partial / POPULAR):
        values = {name: [filter_values([text]) for text in texts] for name, texts in found.filters.items()}
        filters = {item: {name: values[name][row] for name in values} for row, item in enumerate(found.ids)}
        hidden = {item for item, listed in zip(found.ids, found.listed, strict=True) if not listed}
        write_popular(partial / POPULAR, popular.changed(filters, titles, {*removed, *hidden}))


def _checked(partial: Path, facts: dict[str, Any], indexed_anew: Variables | None) -> Interval | None:
    """Seal a version that answers its golden requests, and that retrieves what it should where its index is new.

    To what an index built again retrieves. Raises: BundleError, UserError.
    """
    with ThreadPoolExecutor(1) as beside:
        known = beside.submit(described, partial, {str(GOLDEN)})
        fresh = Bundle(partial, facts)
        answer_golden(fresh)
        recall = judged(fresh, indexed_anew) if indexed_anew is not None else None
    seal(partial, facts | ({"tuned": tuned(recall, fresh.config.index.candidates)} if recall else {}), known.result())
    return recall


def _facts(manifest: Mapping[str, Any], variables: Variables, found: Items, outcome: Outcome) -> dict[str, Any]:
    """What the next version's manifest says, but for its files."""
    known = manifest["filters"].items()
    return {key: value for key, value in manifest.items() if key not in ("files", "id")} | {
        "items": len(variables["ids/ids"]) - 1,
        "filters": {name: sorted({*values, *filter_values(found.filters[name])}) for name, values in known},
        "upsert": {"onto": manifest["id"], "root": root_id(manifest), **asdict(outcome)},
    }


def _refuse_older(base: Path) -> None:
    """What another version has would be lost. Raises: UserError."""
    found = versions(base.parent)
    if not found or str(found[-1]) != base.name:
        latest = f"{base.parent / str(found[-1])} is" if found else f"{base.parent} holds none"
        raise UserError(f"upsert: {base} is not the newest published version, {latest}; name the model's folder")


def _next(partial: Path, base: Path) -> Path:
    """Make it the version after its base. Raises: UserError when somebody else's came first."""
    _refuse_older(base)
    target = base.with_name(str(int(base.name) + 1))
    try:
        return partial.rename(target)
    except OSError:
        if not target.exists():
            raise
        raise UserError(f"upsert: {target} was published meanwhile; nothing was changed, run it again") from None


def _read(config: Config, items: Path | None) -> pd.DataFrame:
    """The item table as the prepare stage has it; no row where there is none. Raises: UserError."""
    if items is None:
        names = ["item", "title", "available_from", *(feature.name for feature in config.on("items"))]
        return pd.DataFrame(columns=[*names, *(FILTER + name for name in config.data.items.filters)])
    return read_items(config, items)


def _items(bundle: Bundle, table: pd.DataFrame, now: int) -> Items:
    config, found = bundle.config, embedded("upsert", bundle, table)
    return Items(
        ids=table["item"].astype(str).tolist(),
        static=found["vector"],
        ranker=found["ranker"],
        filters={name: table[FILTER + name].astype(str).tolist() for name in config.data.items.filters},
        listed=available(config, table, now),
    )

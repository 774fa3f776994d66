"""New, changed and removed items into a published bundle, as its next version.

Vectors come from the bundle's own towers; the index stays as it is, and what it lacks is searched exactly beside it.
Where that grows too long the index is built again, of the same kind and layout (compaction).
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from configs.data import FILTER
from configs.errors import UserError
from configs.schema import Config
from pipelines.encoded import columns_of
from pipelines.evaluation.bootstrap import Interval
from pipelines.index.served import served_recall
from pipelines.prepare import read_items
from pipelines.publish import root_id
from serving.bundle import MANIFEST, STATE, Bundle, answer_golden, newest, seal, verify, versions
from serving.compaction import compacted
from serving.computed import renew
from serving.delta import Items, Outcome, Variables, rows_of, with_items
from serving.filters import filter_values
from serving.state import add_titles
from serving.variables import read_variables, write_variables

_BLOCK = 1024  # items embedded at a time
_FREE = 1_000  # items that the delta may hold whatever the size of the index


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
    shown yet; compact: build the index again, with what stood beside it, as is done anyhow where that would be more
    than `index.delta`.
    Raises: UserError; nothing is published then.
    """
    started = time.perf_counter()
    base = newest(path.resolve())
    _refuse_older(base)
    manifest = verify(base)
    if "ranker" not in manifest["signatures"].get("embed_item", {"outputs": ()})["outputs"]:
        raise UserError(f"upsert: {base} holds no towers that embed items; expected a bundle of a model, exported anew")
    bundle = Bundle(base, manifest)
    table = _read(bundle.config, items)
    now = int(time.time()) if now is None else now
    found = _embedded(bundle, table, now)
    embedded = time.perf_counter()
    try:
        variables, outcome = with_items(read_variables(base), found, list(remove), manifest["filters"])
        compact = compact or outcome.delta > room(outcome.indexed, bundle.config.index.delta)
        if compact:
            variables = compacted(variables, manifest["searcher"], _layout(base, manifest))
            outcome = replace(outcome, delta=0, indexed=len(variables["retrieval/indexed"]))
    except ValueError as error:
        raise UserError(f"upsert: {error}") from None
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=base.parent))
    try:
        shutil.copytree(base, partial, dirs_exist_ok=True, ignore=shutil.ignore_patterns("variables", MANIFEST))
        write_variables(partial, variables)
        renew(partial, rows_of(variables, found.ids), len(variables["ids/ids"]) - 1, now)
        add_titles(partial / STATE, zip(table["item"].astype(str), table["title"].astype(str), strict=True))
        facts = _facts(manifest, variables, found, outcome)
        written = time.perf_counter()
        fresh = Bundle(partial, facts)
        answer_golden(fresh)
        recall = _recall(fresh, variables) if compact else None
        seal(partial, facts)
        version = _next(partial, base)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    seconds = {"embed": embedded - started, "write": written - embedded, "check": time.perf_counter() - written}
    return Upserted(version, outcome, seconds, recall)


def _facts(manifest: Mapping[str, Any], variables: Variables, found: Items, outcome: Outcome) -> dict[str, Any]:
    """What the next version's manifest says, but for its files."""
    known = manifest["filters"].items()
    return {key: value for key, value in manifest.items() if key not in ("files", "id")} | {
        "items": len(variables["ids/ids"]) - 1,
        "filters": {name: sorted({*values, *filter_values(found.filters[name])}) for name, values in known},
        "upsert": {"onto": manifest["id"], "root": root_id(manifest), **asdict(outcome)},
    }


def _layout(base: Path, manifest: Mapping[str, Any]) -> dict[str, float]:
    """Numbers of the index's layout, by name. Raises: UserError where an older export does not say."""
    if "index" not in manifest:
        raise UserError(
            f"upsert: more would stand beside the index of {base} than index.delta allows, and its graph takes no "
            "index of another size, as older exports do not: run the pipeline again"
        )
    return manifest["index"]["layout"]


def _recall(bundle: Bundle, variables: Variables) -> Interval:
    """Raises: UserError when the new index surely misses the floor that held for the first."""
    floor, k = bundle.config.gate.floors.searcher_recall, bundle.config.index.candidates
    found = served_recall(bundle, variables, k)
    if found.high < floor:
        raise UserError(
            f"upsert: the index built again retrieves {found.mean:.4f} of the {k} best (at most {found.high:.4f}, "
            f"{found.n} stored queries), expected {floor:g}; nothing was published: run the pipeline again"
        )
    return found


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


def room(indexed: int, share: float) -> int:
    """How many items may stand beside an index of so many, where index.delta = share."""
    return max(_FREE, round(share * indexed))


def _read(config: Config, items: Path | None) -> pd.DataFrame:
    """The item table as the prepare stage has it; no row where there is none. Raises: UserError."""
    if items is None:
        names = ["item", "title", "available_from", *(feature.name for feature in config.on("items"))]
        return pd.DataFrame(columns=[*names, *(FILTER + name for name in config.data.items.filters)])
    return read_items(config, items)


def _embedded(bundle: Bundle, table: pd.DataFrame, now: int) -> Items:
    """What the bundle's towers and ranker make of the rows of an item table."""
    config, outputs = bundle.config, bundle.manifest["signatures"]["embed_item"]["outputs"]
    blocks = [{name: np.zeros((0, outputs[name]["shape"][1]), np.float32) for name in outputs}]
    for start in range(0, len(table), _BLOCK):
        columns = columns_of(table[start : start + _BLOCK], config.on("items"))
        blocks.append(bundle.run("embed_item", columns))
    ids = table["item"].astype(str).tolist()
    static, ranker = (np.concatenate([block[name] for block in blocks]) for name in ("vector", "ranker"))
    beyond = ~(np.isfinite(static).all(axis=1) & np.isfinite(ranker).all(axis=1))
    if beyond.any():
        item = ids[int(beyond.argmax())]
        raise UserError(
            f"upsert: item {item!r} has features beyond reason: its vector is not finite; nothing was changed"
        )
    return Items(
        ids=ids,
        static=static,
        ranker=ranker,
        filters={name: table[FILTER + name].astype(str).tolist() for name in config.data.items.filters},
        listed=available(config, table, now),
    )


def available(config: Config, table: pd.DataFrame, now: int) -> np.ndarray:
    """Which rows of an item table may be shown at `now`, [n] bool; without a clock all."""
    if config.data.events.time is None:
        return np.ones(len(table), bool)
    return table["available_from"].to_numpy(np.float64, na_value=-np.inf) <= now

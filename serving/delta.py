"""Items that were added, changed or removed since an index was built, as changes of a bundle's variables.

Names of variables are paths from the exported `recommender.Recommender`; the index itself is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from serving.filters import Column, column, distinct_codes, filter_values
from towers.backend import tf
from towers.lookup import fingerprints, sorted_fingerprints

_SAME = 1e-4  # two vectors of one item differ by less where only rounding differs

Variables = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Items:
    """n items as a bundle's models see them.

    ids [n], all different; static [n, d + 1]; ranker [n, h]; filters {name: [n] texts}; listed [n], which may be shown.
    """

    ids: Sequence[str]
    static: np.ndarray
    ranker: np.ndarray
    filters: Mapping[str, Sequence[str]]
    listed: np.ndarray


@dataclass(frozen=True)
class Outcome:
    """What an upsert did.

    Numbers of items added, changed (their vector is another) and removed; how many the delta then holds, and the index;
    dead, how many of the index are out of date: not shown any more, or with another vector; waiting, how many of those
    put in are not available yet; and drift, how far the vectors of those that were changed had moved (1 - cosine,
    mean).
    """

    added: int
    changed: int
    removed: int
    delta: int
    indexed: int
    dead: int
    waiting: int
    drift: float


def touched(names: Iterable[str]) -> list[str]:
    """Of the names of a bundle's variables those that putting items in, or building the index again, reads."""
    prefixes = ("ids/", "retrieval/", "ranker_items")
    return [name for name in names if name.startswith(prefixes) and not name.startswith("retrieval/searcher/")]


def with_items(
    variables: Variables, items: Items, removed: Sequence[str], values: Mapping[str, Sequence[str]]
) -> tuple[dict[str, np.ndarray], Outcome]:
    """The variables, at least those `touched`, with items added or changed, and others removed from what may be shown.

    values: those that each filter had. Raises: ValueError for ids to remove that are not known or that are put in too,
    and for filter values that cannot be told apart.
    """
    if both := sorted({*items.ids} & {*removed}):
        raise ValueError(f"remove: found {both[0]!r}, which is put in too, expected one of the two")
    rows = rows_of(variables, items.ids)
    gone = rows_of(variables, removed)
    if unknown := [item for item, row in zip(removed, gone, strict=True) if row < 0]:
        raise ValueError(f"remove: found {unknown[0]!r}, expected ids that the bundle knows")
    new = rows < 0
    known = len(variables["ids/ids"]) - 1
    size = known + int(new.sum())
    rows = np.where(new, known - 1 + np.cumsum(new), rows)
    added = [item for item, unseen in zip(items.ids, new, strict=True) if unseen]
    changed = dict(variables) | _known_by_id(variables["ids/ids"][:-1], added)
    for name in ("retrieval/static", "retrieval/trend", "retrieval/mixed", "ranker_items", *_filters(variables)):
        changed[name] = _extended(variables[name], size)
    for name in ("retrieval/listed", "retrieval/replaced"):
        changed[name] = _extended(variables[name], size)

    moved, drift = _moved(variables["retrieval/static"], items.static, rows, new)
    changed["retrieval/static"][rows[new | moved]] = items.static[new | moved]
    changed["ranker_items"][rows] = items.ranker
    _as_nobody_took_them(changed, rows[new])
    _set_filters(changed, rows, items.filters, values)
    changed["retrieval/listed"][rows] = items.listed
    changed["retrieval/listed"][gone] = False
    delta = _set_delta(changed, rows[moved])
    shown = variables["retrieval/listed"][np.unique(gone)]
    counts = int(new.sum()), int(moved.sum()), int(shown.sum())
    waiting = len(items.ids) - int(items.listed.sum())
    return changed, Outcome(*counts, delta, len(changed["retrieval/indexed"]), dead_in(changed), waiting, drift)


def dead_in(variables: Variables) -> int:
    """How many items of the index are not shown any more, or have another vector by now."""
    current = variables["retrieval/listed"] & ~variables["retrieval/replaced"]
    return int((~current[variables["retrieval/indexed"]]).sum())


def rows_of(variables: Variables, ids: Sequence[str]) -> np.ndarray:
    """Rows of ids, [n] int32; -1 for those that are not known."""
    if not len(ids):
        return np.empty(0, np.int32)
    asked = fingerprints(tf.constant(list(ids), tf.string)).numpy()
    stored = variables["ids/fingerprints"]
    rows = variables["ids/by_fingerprint"][np.minimum(np.searchsorted(stored, asked), len(stored) - 1)]
    same = variables["ids/ids"][rows] == np.array([name.encode() for name in ids], object)
    return np.where(same, rows, -1).astype(np.int32)


def whole_vectors(variables: Variables, rows: np.ndarray) -> np.ndarray:
    """What rows [n] are searched by, [n, D] float32."""
    return np.concatenate([variables[f"retrieval/{name}"][rows] for name in ("static", "trend", "mixed")], axis=1)


def apart(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How two vectors of each item, [n, D] each, differ: whether by more than rounding, [n] bool, and 1 - cosine of
    those that do, else 0, [n]."""
    moved = np.abs(after - before).max(axis=1) > _SAME * np.maximum(np.abs(before).max(axis=1), 1e-12)
    length = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    cosine = (before * after).sum(axis=1) / np.maximum(length, 1e-12)
    return moved, np.where(moved, 1 - cosine, 0.0)


def _known_by_id(ids: np.ndarray, new: Sequence[str]) -> dict[str, np.ndarray]:
    every = np.concatenate([ids, np.array([name.encode() for name in new], object)])
    found, rows = sorted_fingerprints(every.tolist(), "items")
    return {
        "ids/ids": np.append(every, b""),
        "ids/fingerprints": found,
        "ids/by_fingerprint": rows,
    }


def _extended(value: np.ndarray, size: int) -> np.ndarray:
    """A copy with rows of zeros, or of no value, up to `size`."""
    fill = -1 if value.dtype == np.int64 else 0
    return np.concatenate([value, np.full((size - len(value), *value.shape[1:]), fill, value.dtype)])


def _filters(variables: Variables) -> list[str]:
    return [name for name in variables if name.startswith("retrieval/filters/of_items/")]


def _moved(stored: np.ndarray, now: np.ndarray, rows: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, float]:
    """Which items' vectors are others than before, [n] bool, and by how much of a cosine on average."""
    moved = np.zeros(len(rows), bool)
    if new.all():
        return moved, 0.0
    moved[~new], distance = apart(stored[rows[~new]], now[~new])
    return moved, float(distance[moved[~new]].mean()) if moved.any() else 0.0


def _as_nobody_took_them(variables: dict[str, np.ndarray], rows: np.ndarray) -> None:
    trend = variables["retrieval/trend"].shape[1]
    variables["retrieval/trend"][rows] = variables["retrieval/newcomer"][:trend]
    variables["retrieval/mixed"][rows] = variables["retrieval/newcomer"][trend:]


def _set_filters(
    variables: dict[str, np.ndarray],
    rows: np.ndarray,
    texts: Mapping[str, Sequence[str]],
    values: Mapping[str, Sequence[str]],
) -> None:
    for name, given in texts.items():
        prefix = "retrieval/filters"
        distinct_codes(name, sorted({*values[name], *filter_values(given)}))
        own = column(name, given).of_items
        table = variables[f"{prefix}/of_items/{name}"]
        wide = np.full((len(table), max(table.shape[1], own.shape[1])), -1, np.int64)
        wide[:, : table.shape[1]] = table
        wide[rows] = -1
        wide[rows, : own.shape[1]] = own
        for part, value in asdict(Column.of(wide)).items():
            variables[f"{prefix}/{part}/{name}"] = value


def _set_delta(variables: dict[str, np.ndarray], moved: np.ndarray) -> int:
    """Mark what the index has wrong, and put what is listed and not in it right into the delta; its size."""
    indexed, listed = variables["retrieval/indexed"], variables["retrieval/listed"]
    inside = np.zeros(len(listed), bool)
    inside[indexed] = True
    replaced = variables["retrieval/replaced"]
    replaced[moved] = inside[moved]
    delta = np.flatnonzero(listed & (~inside | replaced)).astype(np.int32)
    variables["retrieval/delta"] = delta
    variables["retrieval/delta_vectors"] = whole_vectors(variables, delta)
    variables["retrieval/current"] = np.array((listed & ~replaced)[indexed].mean(), np.float32)
    return len(delta)

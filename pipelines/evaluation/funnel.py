"""The funnel: where each held-out item was lost on its way to the final list.

A held-out item is a distinct (request, item): an item that the query takes in the judged window, from the request
on and within the horizon, before anything is filtered. Where only the next (or the last) admissible item is asked
for, what is taken after it (or before) is not held out; where there is none, all that is taken is. Each has one fate,
the first of these that holds:

    absent         it is not in the catalogue at the cut: it enters later, or may not be recommended
    filtered       the query has taken it already, and what is seen is not recommended again
    shown          it is in the final list
    reranked out   it is among the ranker's first list_k, but not in the final list
    ranked out     it was retrieved, and came lower
    missed         it is among the best K by exact search, but the index did not find it
    below K        the rest: even exact search puts K items before it

So an item that the index finds although K others score higher (an approximate search may stumble on one) counts by
what became of it afterwards. As each item has one fate, the fates add up to the held-out items, in every slice too.
Queries that come back and are not judged, since all that they take is absent or filtered, count like the judged ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from configs.units import duration
from pipelines.dataset import Dataset
from pipelines.evaluation.slices import Slice
from pipelines.evaluation.stored import load, save
from pipelines.requests import Rules, Targets, requests_at, requests_of_newcomers, requests_within
from pipelines.tables import Ragged, Requests

FATES = ("absent", "filtered", "below K", "missed", "ranked out", "reranked out", "shown")
"""In the order of the way: what is lost first comes first."""
ABSENT, FILTERED, BELOW, MISSED, RANKED_OUT, RERANKED_OUT, SHOWN = range(len(FATES))
_FILE = "funnel.json"


@dataclass(frozen=True)
class Stages:
    """What each stage left for R requests, items [R, .] with -1 where a list is short: the best K by exact search,
    the K retrieved, the same in the ranker's order, and the final list."""

    exact: np.ndarray
    retrieved: np.ndarray
    ranked: np.ndarray
    shown: np.ndarray


@dataclass(frozen=True)
class Funnel:
    """Held-out items of one slice by fate, in the order of FATES."""

    of: str
    dimension: str
    slice: str
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        """How many items are held out."""
        return sum(self.counts)

    def left_after(self) -> tuple[int, ...]:
        """How many items are still there after each fate but the last: what a picture of a funnel shows."""
        return tuple(int(n) for n in self.total - np.cumsum(self.counts))[:-1]


@dataclass(frozen=True)
class Funnels:
    """k: how many are retrieved; list_k: how many are shown; rows: of all held-out items, and of every slice.

    not_asked, not_asked_items: queries that come back and are not judged, since all that they take is absent or
    filtered, and how many such items; the rows count them too.
    newcomers: the funnel of queries without a past, of as many as were judged; None where there are none. Where
    histories roll, newcomers_in_rows of them come back within the window and are in the rows as well, asked later and
    with the history that they have by then: the two funnels must not be added.
    """

    k: int
    list_k: int
    not_asked: int
    not_asked_items: int
    rows: tuple[Funnel, ...]
    newcomers: Funnel | None
    newcomers_in_rows: int = 0


def taken_in_test(dataset: Dataset) -> Requests:
    """The test requests and those that drop out for want of a target, in the order of their queries; their targets
    are all that is taken from the request on."""
    split, window = dataset.config.split, dataset.judged_window(dataset.cuts.test, dataset.cuts.end)
    if split.history == "rolling":
        # where the last item is asked for, the request is made at the last event, and nothing else follows
        rules = _everything(dataset, "last" if split.targets == "last" else "all_future")
        return requests_within(window, rules, dataset.config.seed)
    return requests_at(window, _everything(dataset))


def taken_by_newcomers(dataset: Dataset) -> Requests:
    """The same of queries without a past."""
    return requests_of_newcomers(dataset.judged_window(dataset.cuts.test, dataset.cuts.end), _everything(dataset))


def held_out(dataset: Dataset, requests: Requests, taken: Requests) -> Ragged:
    """The held-out items of `requests`, a row each, in the order taken; `taken` holds all of their queries."""
    found = taken.targets.take(np.searchsorted(taken.query, requests.query))
    mode = dataset.config.split.targets
    if mode == "all_future":
        return found
    asked_for = found.values == np.repeat(requests.targets.values, found.lengths)  # one target a request
    place = np.arange(len(found.values))
    border = place[asked_for][found.rows]
    kept = place <= border if mode == "next" else place >= border
    return Ragged.from_rows(found.rows[kept], found.values[kept], len(found))


def fates(
    held: Ragged, requests: Requests, eligible: np.ndarray, filter_seen: bool, stages: Stages, list_k: int
) -> np.ndarray:
    """The fate of each held-out item, a place in FATES, int8 [len(held.values)]; eligible: [N] bool."""
    pair = _Pairs(len(eligible), held)
    seen = pair.among(requests.history) if filter_seen else np.zeros(len(held.values), bool)
    lost = (
        (~eligible[held.values], ABSENT),
        (seen, FILTERED),
        (pair.listed(stages.shown), SHOWN),
        (pair.listed(stages.ranked[:, :list_k]), RERANKED_OUT),
        (pair.listed(stages.retrieved), RANKED_OUT),
        (pair.listed(stages.exact), MISSED),
    )
    return np.select([where for where, _ in lost], [fate for _, fate in lost], BELOW).astype(np.int8)


def with_not_asked(
    held: Ragged, fate: np.ndarray, requests: Requests, taken: Requests, eligible: np.ndarray
) -> tuple[Ragged, np.ndarray]:
    """The held-out items, a row for each of `taken`, and their fates: those of `requests`, and all that is taken by
    the queries that are not asked, where what is not absent is filtered."""
    rest = np.flatnonzero(~np.isin(taken.query, requests.query))
    others = taken.targets.take(rest)
    row = np.concatenate([np.searchsorted(taken.query, requests.query)[held.rows], rest[others.rows]])
    values = np.concatenate([held.values, others.values])
    lost = np.concatenate([fate, np.where(eligible[others.values], FILTERED, ABSENT).astype(fate.dtype)])
    return Ragged.from_rows(row, values, len(taken)), lost[np.argsort(row, kind="stable")]


def funnel(held: Ragged, fate: np.ndarray, part: Slice | None = None) -> Funnel:
    """Count the fates of all held-out items, or of those of a slice."""
    if part is None:
        return Funnel("all", "all", "all", _counts(fate))
    within = part.mask[held.rows] if part.of == "requests" else part.mask[held.values]
    return Funnel(part.of, part.dimension, part.name, _counts(fate[within]))


def funnels(held: Ragged, fate: np.ndarray, slices: Sequence[Slice]) -> tuple[Funnel, ...]:
    """Of everything, then of every slice that holds anything."""
    found = [funnel(held, fate, part) for part in slices]
    return (funnel(held, fate), *(one for one in found if one.total))


def save_funnels(found: Funnels, folder: Path) -> None:
    """Write funnel.json."""
    save(found, folder / _FILE)


def load_funnels(folder: Path) -> Funnels:
    """Read what `save_funnels` wrote."""
    return load(Funnels, folder / _FILE)


def _counts(fate: np.ndarray) -> tuple[int, ...]:
    return tuple(int(count) for count in np.bincount(fate, minlength=len(FATES)))


def _everything(dataset: Dataset, targets: Targets = "all_future") -> Rules:
    """All that is taken within the horizon, whether or not it could be recommended."""
    horizon = dataset.config.split.horizon
    within = duration(horizon) if horizon is not None else None
    return Rules(np.ones(dataset.n_items, bool), False, targets, within)


class _Pairs:
    """(request, item) as one number, to find those of one set in another."""

    def __init__(self, items: int, held: Ragged) -> None:
        self._items = np.int64(items)
        self._held = held.rows * self._items + held.values

    def among(self, other: Ragged) -> np.ndarray:
        return np.isin(self._held, other.rows * self._items + other.values)

    def listed(self, items: np.ndarray) -> np.ndarray:
        row = np.broadcast_to(np.arange(len(items))[:, None], items.shape)
        there = items >= 0
        return np.isin(self._held, row[there] * self._items + items[there])

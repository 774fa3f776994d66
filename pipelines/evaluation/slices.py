"""Slices: groups of requests, and groups of target items, that a mean over everything would hide.

Two sets of them. The gate judges the few that `request_slices` and `target_slices` name: each verdict may stop a
model, and of many slices some fail by luck alone. `slices_of_requests` and `slices_of_items` are the many that a
person looks at, in the report; nothing is stopped by them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import pandas as pd

from configs.features import MultiCategoryFeature
from pipelines.dataset import Dataset
from pipelines.evaluation.variety import entry_times
from pipelines.split import Cut
from pipelines.tables import Ragged, Requests

Of = Literal["requests", "targets"]
_HISTORY = ((1, 9), (10, 49), (50, 199), (200, None))
_NEW = 0.1  # items that entered in the last tenth of the log before the cut
_LARGEST = 12  # values of a category that are slices of their own
_DAY = 86_400
_AGES = (7, 30, 180)  # days; without a clock:
_AGE_SHARES = (0.01, 0.05, 0.25)  # of the log up to the cut
_HOURS = 6  # in one part of the day


@dataclass(frozen=True)
class Slice:
    """Some requests ([R] bool), or some items ([N] bool) that targets may be; dimension: what they are told apart by.

    The slices of a dimension cover everything; they overlap where an item may be of several categories.
    """

    of: Of
    dimension: str
    name: str
    mask: np.ndarray


def request_slices(dataset: Dataset, requests: Requests) -> dict[str, np.ndarray]:
    """Rows of the requests by history length and by segment; empty slices are left out."""
    lengths = requests.history.lengths
    slices = {}
    for low, high in _HISTORY:
        name = f"history {low}-{high}" if high else f"history {low}+"
        slices[name] = np.flatnonzero((lengths >= low) & (lengths <= (high or lengths.max(initial=0))))
    if dataset.segment is not None:
        values = dataset.tables.queries[dataset.config.data.segment].astype(str).to_numpy()[requests.query]
        for value in np.unique(values):
            slices[f"{dataset.config.data.segment} {value or 'unknown'}"] = np.flatnonzero(values == value)
    return {name: rows for name, rows in slices.items() if len(rows)}


def target_slices(dataset: Dataset, cut: Cut) -> dict[str, np.ndarray]:
    """Masks over items, [N] bool: the head that takes half of the past events, the tail, new items, unseen items."""
    past = dataset.past(cut)
    counts = np.bincount(past.item, minlength=dataset.n_items)
    order = np.argsort(-counts, kind="stable")
    head = np.zeros(dataset.n_items, bool)
    head[order[: int(np.searchsorted(np.cumsum(counts[order]), counts.sum() / 2)) + 1]] = True
    recent = cut.moment - _NEW * (cut.moment - past.time[0])
    return {
        "head items": head,
        "tail items": ~head & (counts > 0),
        "new items": (entry_times(dataset.available, past) >= recent) & (counts > 0),
        "items without events": counts == 0,
    }


def slices_of_requests(dataset: Dataset, requests: Requests) -> list[Slice]:
    """By history length, every category of the query and of the request, and the time of the day and of the week
    (UTC) where there is a clock; of a category the values with the most requests, and all others together."""
    queries = dataset.tables.queries
    found = [*_bins("history", [f"{low}-{high}" if high else f"{low}+" for low, high in _HISTORY], _reached(requests))]
    for feature in dataset.config.on("queries"):
        if feature.kind == "category":
            found += _values(feature.name, queries[feature.name].to_numpy()[requests.query])
    for feature in dataset.config.on("events"):
        if feature.kind == "category":
            found += _values(feature.name, requests.context[feature.name])
    if dataset.config.data.events.time is not None:
        found += _by_clock(requests.time)
    return [Slice("requests", *parts) for parts in found if parts[2].any()]


def slices_of_items(dataset: Dataset, cut: Cut) -> list[Slice]:
    """By age and popularity at `cut`, the groups of `target_slices`, and every category of the items: the values with
    the most events before `cut`, and all others together."""
    past = dataset.past(cut)
    counts = np.bincount(past.item, minlength=dataset.n_items)
    found = [*_ages(dataset, cut), *_deciles(counts)]
    found += [("group of items", name, mask) for name, mask in target_slices(dataset, cut).items()]
    for feature in dataset.config.on("items"):
        if feature.kind in ("category", "multi_category"):
            separator = feature.separator if isinstance(feature, MultiCategoryFeature) else None
            found += _categories(feature.name, dataset.tables.items[feature.name], separator, counts)
    return [Slice("targets", *parts) for parts in found if parts[2].any()]


def only(targets: Ragged, kept: np.ndarray) -> Ragged:
    """Targets that are among the `kept` items ([N] bool); rows stay, some empty."""
    mask = kept[targets.values]
    return Ragged.from_rows(targets.rows[mask], targets.values[mask], len(targets))


def codes_of(column: pd.Series, separator: str | None) -> tuple[np.ndarray, Ragged]:
    """The distinct values of a category column (several in one text where there is a separator), and for each row
    the codes of its values, none where it is empty."""
    texts = column.astype(str)
    lists = [text.split(separator) if separator else [text] for text in texts]
    row = np.repeat(np.arange(len(lists)), [len(values) for values in lists])
    flat = np.array([value.strip() for values in lists for value in values], object)
    kept = flat != ""
    values, codes = np.unique(flat[kept].astype(str), return_inverse=True)
    pairs = np.unique(np.stack([row[kept], codes], axis=1), axis=0)  # a value named twice counts once
    return values, Ragged.from_rows(pairs[:, 0], pairs[:, 1], len(column))


_Named = tuple[str, str, np.ndarray]


def _reached(requests: Requests) -> np.ndarray:
    """Which part of _HISTORY each request's history is in; -1 for an empty one."""
    return np.searchsorted([low for low, _ in _HISTORY], requests.history.lengths, side="right") - 1


def _bins(dimension: str, names: list[str], part: np.ndarray) -> Iterator[_Named]:
    for number, name in enumerate(names):
        yield dimension, f"{dimension} {name}", part == number


def _values(feature: str, column: np.ndarray) -> Iterator[_Named]:
    """The most frequent values, an empty one being "unknown", and the rest."""
    values = column.astype(str)
    values = np.where(values == "", "unknown", values)
    known, counts = np.unique(values, return_counts=True)
    largest = np.sort(known[np.argsort(-counts, kind="stable")[:_LARGEST]])
    for value in largest:
        yield feature, f"{feature} {value}", values == value
    yield feature, f"{feature}: the rest", ~np.isin(values, largest)


def _by_clock(time: np.ndarray) -> Iterator[_Named]:
    hour = time // 3600 % 24 // _HOURS
    starts = range(0, 24, _HOURS)
    yield from _bins("hour of day", [f"{start}-{start + _HOURS - 1}" for start in starts], hour)
    day = (time // _DAY + 3) % 7  # 1 January 1970 was a Thursday; Monday is 0
    yield from _bins("day of week", ["Monday to Friday", "Saturday, Sunday"], (day >= 5).astype(int))


def _ages(dataset: Dataset, cut: Cut) -> Iterator[_Named]:
    past = dataset.past(cut)
    entered = entry_times(dataset.available, past)
    clock = dataset.config.data.events.time is not None
    span = cut.moment - int(past.time[0])
    limits = [days * _DAY for days in _AGES] if clock else [share * span for share in _AGE_SHARES]
    marks = [f"{days} days" for days in _AGES] if clock else [f"{share:.0%} of the log" for share in _AGE_SHARES]
    never = entered == np.iinfo(np.int64).max
    age = np.where(never, 0, cut.moment - entered.astype(np.float64))
    part = np.where(never, len(limits) + 1, np.where(age < 0, len(limits) + 2, np.searchsorted(limits, age)))
    names = [f"up to {marks[0]}", *(f"over {low}, up to {high}" for low, high in pairwise(marks))]
    yield from _bins("item age", [*names, f"over {marks[-1]}", "unknown", "not out yet"], part)


def _deciles(counts: np.ndarray) -> Iterator[_Named]:
    """Tenths of the items with events, by their number of events; 1 holds the most popular."""
    there = np.flatnonzero(counts)
    order = there[np.argsort(-counts[there], kind="stable")]
    part = np.full(len(counts), 10)
    part[order] = np.arange(len(order)) * 10 // max(len(order), 1)
    yield from _bins("popularity decile", [*map(str, range(1, 11)), "none (no events)"], part)


def _categories(feature: str, column: pd.Series, separator: str | None, counts: np.ndarray) -> Iterator[_Named]:
    values, codes = codes_of(column, separator)
    taken = np.bincount(codes.values, counts[codes.rows], len(values))
    largest = np.sort(np.argsort(-taken, kind="stable")[:_LARGEST])
    others = codes.lengths > 0
    for code in largest:
        mask = np.zeros(len(column), bool)
        mask[codes.rows[codes.values == code]] = True
        others &= ~mask
        yield feature, f"{feature} {values[code]}", mask
    yield feature, f"{feature}: the rest", others
    yield feature, f"{feature}: none", codes.lengths == 0

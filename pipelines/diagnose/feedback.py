"""What the feedback is: kinds of events with their strengths, ratings if there are any, and how dense the log is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.diagnose.observed import Observed

_VALUES = 20  # ratings with more distinct values are counted in as many equal bins


@dataclass(frozen=True)
class Kind:
    """One kind of event: how many there are, and the strength that the config gives it."""

    name: str
    events: int
    weight: float


@dataclass(frozen=True)
class Ratings:
    """Explicit ratings. present: share of the events that have one; values and counts: how many events at each
    value, or from each value up to the next where there are many (`binned`); between_queries: share of the variance
    that is between the means of queries (some rate all things higher than others do)."""

    present: float
    mean: float
    deviation: float
    values: tuple[float, ...]
    counts: tuple[int, ...]
    binned: bool
    between_queries: float


@dataclass(frozen=True)
class Feedback:
    """density: share of the pairs of a query and an item that have an event; per_query: items that a query took, on
    average; meaning: what a row and its absence mean, as the config says."""

    meaning: str
    kinds: tuple[Kind, ...]
    ratings: Ratings | None
    pairs: int
    density: float
    per_query: float


def feedback(observed: Observed) -> Feedback:
    """Count kinds, ratings and pairs."""
    log, tables = observed.log, observed.tables
    events = np.bincount(tables.kinds.codes, minlength=len(tables.kinds.categories))
    weights = np.bincount(tables.kinds.codes, log.weight, len(events)) / np.maximum(events, 1)
    kinds = [
        Kind(str(name), int(count), float(weight))
        for name, count, weight in zip(tables.kinds.categories, events, weights, strict=True)
        if count
    ]
    pair = np.sort(log.query.astype(np.int64) * observed.n_items + log.item)
    pairs = 1 + int(np.count_nonzero(np.diff(pair)))
    return Feedback(
        meaning=observed.config.data.events.meaning,
        kinds=tuple(sorted(kinds, key=lambda kind: -kind.events)),
        ratings=_ratings(tables.ratings, log.query) if tables.ratings is not None else None,
        pairs=pairs,
        density=pairs / (observed.n_items * observed.n_queries),
        per_query=pairs / observed.n_queries,
    )


def _ratings(ratings: np.ndarray, query: np.ndarray) -> Ratings | None:
    there = ~np.isnan(ratings)
    if not there.any():
        return None
    found, who = ratings[there].astype(np.float64), query[there]
    values, counts = np.unique(found, return_counts=True)
    binned = len(values) > _VALUES
    if binned:
        counts, edges = np.histogram(found, _VALUES)
        values = edges[:-1]
    return Ratings(
        present=float(there.mean()),
        mean=float(found.mean()),
        deviation=float(found.std()),
        values=tuple(map(float, values)),
        counts=tuple(map(int, counts)),
        binned=binned,
        between_queries=_between(found, who),
    )


def _between(values: np.ndarray, group: np.ndarray) -> float:
    """Share of the variance that lies between groups, free of what chance alone puts there (epsilon squared; Kelley,
    1935); NaN where it cannot be told."""
    groups, code = np.unique(group, return_inverse=True)
    total = ((values - values.mean()) ** 2).sum()
    if len(groups) < 2 or len(groups) == len(values) or total == 0:
        return float("nan")
    mean = np.bincount(code, values) / np.bincount(code)
    within = ((values - mean[code]) ** 2).sum() / (len(values) - len(groups))
    return float(max(0.0, 1 - within / (total / (len(values) - 1))))

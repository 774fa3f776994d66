"""What the feedback is: kinds of events with their strengths, ratings if there are any, and how dense the log is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pipelines.diagnose.observed import Observed
from pipelines.sequences import Sequences

SWAMPED = 1 / 3  # share of the weight on the dearest 1 % of targets, above which the others are hardly learned from
_VALUES = 20  # ratings with more distinct values are counted in as many equal bins


@dataclass(frozen=True)
class Kind:
    """One kind of event: how many there are, the strength that the config gives it, and its share of the weight of all
    targets of training, which end at the test cut."""

    name: str
    events: int
    weight: float
    share: float


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
    average; meaning: what a row and its absence mean, as the config says; dearest: share of the weight of all targets
    of training that the dearest 1 % of them carry, NaN where all count alike or there are too few to tell."""

    meaning: str
    kinds: tuple[Kind, ...]
    ratings: Ratings | None
    pairs: int
    density: float
    per_query: float
    dearest: float


def feedback(observed: Observed) -> Feedback:
    """Count kinds, ratings and pairs."""
    log, tables = observed.log, observed.tables
    events = np.bincount(tables.kinds.codes, minlength=len(tables.kinds.categories))
    weights = np.bincount(tables.kinds.codes, log.weight, len(events)) / np.maximum(events, 1)
    worth, kind_of = _targets(observed)
    shares = np.bincount(kind_of, worth, len(events)) / (worth.sum() or math.nan)
    kinds = [
        Kind(str(name), int(count), float(weight), float(share))
        for name, count, weight, share in zip(tables.kinds.categories, events, weights, shares, strict=True)
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
        dearest=_dearest(worth),
    )


def _targets(observed: Observed) -> tuple[np.ndarray, np.ndarray]:
    """What each target of training counts, float64 [t], and the kind of the event that it counts by, [t].

    The last refit trains on what lies before the test cut; a log that cannot be cut is counted as a whole. Where what
    was seen is filtered, an item is one target of a query's, as strong as the strongest of its events.
    """
    dataset, config = observed.dataset, observed.config
    log = dataset.past(dataset.cuts.test) if dataset is not None else observed.log  # by time, so the first events
    sequences = Sequences.of(log, observed.n_queries)
    worth = sequences.weight.astype(np.float64) if config.train.weighted else np.ones(len(log))
    kind = observed.tables.kinds.codes[: len(log)][np.argsort(log.query, kind="stable")]
    if config.data.seen_items == "keep":
        return worth, kind
    pair = sequences.query.astype(np.int64) * observed.n_items + sequences.item
    order = np.lexsort((-worth, pair))
    strongest = order[np.flatnonzero(np.diff(pair[order], prepend=-1))]
    return worth[strongest], kind[strongest]


def _dearest(worth: np.ndarray) -> float:
    one_percent = len(worth) // 100
    if not one_percent or worth.min() == worth.max():
        return math.nan
    return float(np.sort(worth)[-one_percent:].sum() / worth.sum())


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

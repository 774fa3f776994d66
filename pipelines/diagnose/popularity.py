"""How concentrated popularity is, how fast it changes, and how fast new items fade."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from pipelines.diagnose.observed import Observed
from pipelines.evaluation.bootstrap import Interval, interval

_DAY = 86_400
_PERIODS = ((7 * _DAY, 8), (_DAY, 8))  # a length, and how many of it a log should span
_PARTS = 20  # periods of a log without a clock, or too short for those
_MOST_PERIODS = 1_000
_EVENTS = 200  # a period should hold on average; else there is too little to compare
_ENTRY, _HORIZON = (0.1, 0.6), 0.4  # of the log's events: when new items enter, and how long they are followed
_ITEMS, _FOLLOWED = 30, 300  # new items, and events on them, below which fading cannot be told
_POINTS = 50


@dataclass(frozen=True)
class Concentration:
    """gini: of events over the catalogue, 0 = all items alike; top_1, top_10: share of the events on the most popular
    1 and 10 % of the items; half: how many items hold half of the events; curve: share of the events on the most
    popular items, by share of the items, at evenly spaced points from 0 to 1."""

    gini: float
    top_1: float
    top_10: float
    half: int
    curve: tuple[float, ...]


@dataclass(frozen=True)
class Drift:
    """How alike the popularity of two periods is, by the time between them.

    period: length of a period on the time axis; lags: multiples of it; alike: correlation of the items' shares of the
    events in two periods so far apart, one half of the queries against the other, corrected for what chance does to
    small counts (Spearman's correction for attenuation, 1904), so that popularity that does not change has 1 at any
    lag; half: lag at which it falls to .5, on the time axis, NaN where it does not.
    """

    period: int
    lags: tuple[int, ...]
    alike: tuple[float, ...]
    half: float


@dataclass(frozen=True)
class Fading:
    """What becomes of items that enter during the log.

    They are followed for the next `horizon` of the log's events, so that busy and quiet times count alike. early:
    share of their events that fall into its first half, .5 for an item that stays as it is; items: how many.
    """

    early: Interval
    items: int
    horizon: float


@dataclass(frozen=True)
class Popularity:
    """drift and fading are None where there is too little to tell."""

    concentration: Concentration
    drift: Drift | None
    fading: Fading | None


def popularity(observed: Observed) -> Popularity:
    """Measure all three."""
    return Popularity(_concentration(observed), _drift(observed), _fading(observed))


def _concentration(observed: Observed) -> Concentration:
    counts = np.sort(np.bincount(observed.log.item, minlength=observed.n_items))[::-1]
    held = np.concatenate([[0.0], np.cumsum(counts) / counts.sum()])
    items = len(counts)
    at = np.linspace(0, items, _POINTS + 1)
    ranks = np.arange(1, items + 1)
    return Concentration(
        gini=float(((items + 1 - 2 * ranks) @ counts) / (items * counts.sum())),
        top_1=float(held[max(1, round(items / 100))]),
        top_10=float(held[max(1, round(items / 10))]),
        half=int(np.searchsorted(held, 0.5)),
        curve=tuple(map(float, np.interp(at, np.arange(items + 1), held))),
    )


def _drift(observed: Observed) -> Drift | None:
    log, length = observed.log, _period(observed)
    period = (log.time - log.time[0]) // length
    period = np.minimum(period, observed.span // length - 1)  # the last, broken one goes with the one before
    periods = int(period[-1]) + 1
    if periods < 2 or len(log) / periods < _EVENTS:
        return None
    # Two halves of the queries never share a query, so what they have in common is popularity and nothing else.
    half = np.random.default_rng(observed.config.seed).integers(0, 2, observed.n_queries)[log.query]
    size = (periods, observed.n_items)
    one, other = (_by_period(period[half == side], log.item[half == side], size) for side in (0, 1))
    totals = np.outer(one.sum(axis=1), other.sum(axis=1)) / observed.n_items
    shared = (one @ other.T).toarray() - totals
    signal = np.sqrt(np.maximum(np.diag(shared), 0))
    lags, alike = [], []
    for lag in _lags(periods):
        found = (np.diag(shared, lag).sum() + np.diag(shared, -lag).sum()) / 2
        possible = (signal[lag:] * signal[:-lag]).sum()
        if possible > 0:
            lags.append(lag)
            alike.append(float(np.clip(found / possible, -1, 1)))
    return Drift(length, tuple(lags), tuple(alike), _half(lags, alike) * length) if lags else None


def _by_period(period: np.ndarray, item: np.ndarray, size: tuple[int, int]) -> sparse.csr_matrix:
    """Events of each item in each period, [periods, items]."""
    return sparse.csr_matrix((np.ones(len(item)), (period, item)), size)


def _period(observed: Observed) -> int:
    if observed.clock:
        for length, least in _PERIODS:
            if observed.span >= least * length and len(observed.log) * length / observed.span >= _EVENTS:
                return max(length, observed.span // _MOST_PERIODS)
    return max(observed.span // _PARTS, 1)


def _lags(periods: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12, 16, ... up to half of the periods."""
    steps = sorted({max(1, round(2 ** (power / 2))) for power in range(2 * periods.bit_length())} | {3})
    return [lag for lag in steps if lag <= max(1, periods // 2)]


def _half(lags: list[int], alike: list[float]) -> float:
    """Lag at which the curve, which starts with 1 at 0, first falls to one half; NaN if it does not."""
    before, level = 0.0, 1.0
    for lag, value in zip(lags, alike, strict=True):
        if value <= 0.5:
            return before + (level - 0.5) / (level - value) * (lag - before)
        before, level = lag, value
    return float("nan")


def _fading(observed: Observed) -> Fading | None:
    log, events = observed.log, len(observed.log)
    place = np.arange(events) / events
    entry = np.full(observed.n_items, np.inf)
    entry[log.item[::-1]] = place[::-1]  # the first event: what is written last stays
    age = place - entry[log.item]
    new = (entry >= _ENTRY[0]) & (entry < _ENTRY[1])
    # The first event is at age 0 by definition, so it says nothing of fading.
    followed = new[log.item] & (age > 0) & (age < _HORIZON)
    items = len(np.unique(log.item[followed]))
    if items < _ITEMS or followed.sum() < _FOLLOWED:
        return None
    early = interval(age[followed] < _HORIZON / 2, cluster=log.item[followed], samples=500, seed=observed.config.seed)
    return Fading(early, items, _HORIZON)

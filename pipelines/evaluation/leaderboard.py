"""The leaderboard: every contender on the same requests, at every depth, against every baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.evaluation.bootstrap import Interval, intervals, paired_intervals, resampled_sums
from pipelines.evaluation.compared import samples_for, strongest, strongest_popularity
from pipelines.evaluation.metrics import coverage, effective_items, gini
from pipelines.evaluation.results import Results
from pipelines.evaluation.variety import ItemFacts, per_list
from pipelines.tables import Candidates, Requests

CATALOGUE = ("coverage", "gini", "effective_items")
_NAMES, _COUNTS = ("contenders", "baselines", "rivals", "metrics", "qualities"), ("requests", "list_k")
_FILE = "leaderboard.npz"
_TAIL = 0.025


@dataclass(frozen=True)
class Leaderboard:
    """Numbers of C contenders, the B baselines first, by M metrics ("ndcg@10") and by V qualities of their first
    list_k places (those of `variety.per_list`).

    values [C, M, 3], differences [C, B, M, 3] to each baseline, paired by request, all from the same resamples of
    requests: mean, low and high of the 95 % interval, NaN where a list is too short for the depth.
    variety [C, V, 3]; variety_differences [C, 2, V, 3] to the `rivals`, the strongest popularity and the strongest
    baseline by NDCG of the list, leaving out requests of which a quality cannot be said on both sides.
    catalogue [C, 3]: coverage, Gini and effective items of what all lists together show.
    """

    contenders: tuple[str, ...]
    baselines: tuple[str, ...]
    rivals: tuple[str, str]
    metrics: tuple[str, ...]
    qualities: tuple[str, ...]
    requests: int
    list_k: int
    values: np.ndarray
    differences: np.ndarray
    variety: np.ndarray
    variety_differences: np.ndarray
    catalogue: np.ndarray

    def value(self, contender: str, metric: str) -> Interval:
        """The mean of a metric or a quality; NaN where the contender has none."""
        row = self.contenders.index(contender)
        if metric in self.metrics:
            return self._interval(self.values[row, self.metrics.index(metric)])
        return self._interval(self.variety[row, self.qualities.index(metric)])

    def difference(self, contender: str, rival: str, metric: str) -> Interval:
        """The mean difference to a baseline (for a quality, to one of `rivals`); above 0 the contender has more."""
        row = self.contenders.index(contender)
        if metric in self.metrics:
            return self._interval(self.differences[row, self.baselines.index(rival), self.metrics.index(metric)])
        return self._interval(self.variety_differences[row, self.rivals.index(rival), self.qualities.index(metric)])

    def shown(self, contender: str) -> dict[str, float]:
        """Coverage, Gini and effective items."""
        row = self.catalogue[self.contenders.index(contender)]
        return dict(zip(CATALOGUE, map(float, row), strict=True))

    def _interval(self, numbers: np.ndarray) -> Interval:
        mean, low, high = map(float, numbers)
        return Interval(mean, low, high, 0 if np.isnan(mean) else self.requests)


def leaderboard(
    baselines: Mapping[str, Results],
    ours: Mapping[str, Results],
    requests: Requests,
    list_k: int,
    eligible: np.ndarray,
    facts: ItemFacts,
    obvious: str,
) -> Leaderboard:
    """Compare; eligible: [N] bool, what could be recommended; obvious: the baseline that serendipity is against."""
    everyone = {**baselines, **ours}
    metrics = tuple(dict.fromkeys(name for result in everyone.values() for name in result.metrics if "@" in name))
    values, differences = _accuracy(everyone, len(baselines), metrics, len(requests))
    rivals = strongest_popularity(baselines, f"ndcg@{list_k}"), strongest(baselines, f"ndcg@{list_k}")
    lists = {name: listed(result, list_k) for name, result in everyone.items()}
    qualities = {name: per_list(one, requests, list_k, facts, lists[obvious]) for name, one in lists.items()}
    variety, variety_differences = _variety(qualities, rivals)
    catalogue = [[of(one, eligible, list_k) for of in (coverage, gini, effective_items)] for one in lists.values()]
    return Leaderboard(
        contenders=tuple(everyone),
        baselines=tuple(baselines),
        rivals=rivals,
        metrics=metrics,
        qualities=tuple(qualities[obvious]),
        requests=len(requests),
        list_k=list_k,
        values=values,
        differences=differences,
        variety=variety,
        variety_differences=variety_differences,
        catalogue=np.array(catalogue),
    )


def listed(result: Results, k: int) -> Candidates:
    """The first k places of what was recommended."""
    items = result.items[:, :k]
    return Candidates(items, np.zeros(items.shape, np.float32), "list")


def save_leaderboard(found: Leaderboard, folder: Path) -> None:
    """Write leaderboard.npz."""
    np.savez_compressed(folder / _FILE, **{name: np.array(value) for name, value in vars(found).items()})  # type: ignore[arg-type]


def load_leaderboard(folder: Path) -> Leaderboard:
    """Read what `save_leaderboard` wrote."""
    with np.load(folder / _FILE) as saved:
        found = {name: saved[name] for name in saved.files}
    names = {name: tuple(map(str, found.pop(name))) for name in _NAMES}
    counts = {name: int(found.pop(name)) for name in _COUNTS}
    return Leaderboard(**names, **counts, **found)  # type: ignore[arg-type]


def _accuracy(
    everyone: Mapping[str, Results], n_baselines: int, metrics: Sequence[str], n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Intervals [C, M, 3] of the means and [C, B, M, 3] of the differences to the first contenders.

    Every request has every metric, so the resamples of a difference are the differences of the resamples, and all
    pairs are had for the price of one set of them.
    """
    missing = np.full(n, np.nan)
    rows = np.stack([result.metrics.get(metric, missing) for result in everyone.values() for metric in metrics])
    shape = (len(everyone), len(metrics))
    means = rows.mean(axis=1).reshape(shape)
    resampled = resampled_sums(rows, samples_for(n), seed=0).reshape(*shape, -1) / n
    against = [_bounded(means - means[b], resampled - resampled[b]) for b in range(n_baselines)]
    return _bounded(means, resampled), np.stack(against, axis=1)


def _bounded(means: np.ndarray, resampled: np.ndarray) -> np.ndarray:
    """Mean, low and high of each; rounded outwards to a resampled value, as in `bootstrap`."""
    low = np.quantile(resampled, _TAIL, axis=-1, method="lower")
    high = np.quantile(resampled, 1 - _TAIL, axis=-1, method="higher")
    return np.stack([means, low, high], axis=-1)


def _variety(qualities: Mapping[str, Mapping[str, np.ndarray]], rivals: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Intervals [C, V, 3] of the means and [C, len(rivals), V, 3] of the differences, where both can be said."""
    table = np.stack([np.stack(list(of.values())) for of in qualities.values()])
    contenders, kinds, n = table.shape
    flat, samples = table.reshape(-1, n), samples_for(n)
    against = [
        paired_intervals(flat, np.tile(table[list(qualities).index(rival)], (contenders, 1)), samples=samples)
        for rival in rivals
    ]
    shape = (contenders, kinds, 3)
    return (
        _numbers(intervals(flat, samples=samples)).reshape(shape),
        np.stack([_numbers(found).reshape(shape) for found in against], axis=1),
    )


def _numbers(found: Sequence[Interval]) -> np.ndarray:
    return np.array([[one.mean, one.low, one.high] for one in found])

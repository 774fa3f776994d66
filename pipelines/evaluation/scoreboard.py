"""The scoreboard: every contender on the same requests, at every depth, in pairs; from results alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.evaluation.bootstrap import Interval, resampled_sums
from pipelines.evaluation.compared import samples_for
from pipelines.evaluation.metrics import coverage, effective_items, gini
from pipelines.evaluation.results import Results
from pipelines.tables import Candidates

CATALOGUE = ("coverage", "gini", "effective_items")
_BLOCK = 25_000_000  # values held at once, 200 MB
_TAIL = 0.025
_DIGITS = 12  # beyond these it is rounding, by which two equal contenders must not be told apart


@dataclass(frozen=True)
class Scoreboard:
    """Numbers of C contenders, the baselines first, by M metrics ("ndcg@10").

    values [C, M, 3], differences [C, C, M, 3] of the first to the second, paired by request, all from the same
    resamples of requests: mean, low and high of the 95 % interval, NaN where a list is too short for the depth.
    catalogue [C, 3]: coverage, Gini and effective items of what all lists together show in their first list_k places.
    """

    contenders: tuple[str, ...]
    baselines: tuple[str, ...]
    metrics: tuple[str, ...]
    requests: int
    list_k: int
    values: np.ndarray
    differences: np.ndarray
    catalogue: np.ndarray

    def value(self, contender: str, metric: str) -> Interval:
        """The mean of a metric; NaN where the contender has none."""
        return self._interval(self.values[self.contenders.index(contender), self.metrics.index(metric)])

    def difference(self, contender: str, rival: str, metric: str) -> Interval:
        """The mean difference to a rival; above 0 the contender has more."""
        row, other = self.contenders.index(contender), self.contenders.index(rival)
        return self._interval(self.differences[row, other, self.metrics.index(metric)])

    def measured(self, contender: str) -> dict[str, Interval]:
        """Every metric that the contender's lists are long enough for."""
        found = {metric: self.value(contender, metric) for metric in self.metrics}
        return {metric: value for metric, value in found.items() if value.n}

    def shown(self, contender: str) -> dict[str, float]:
        """Coverage, Gini and effective items."""
        row = self.catalogue[self.contenders.index(contender)]
        return dict(zip(CATALOGUE, map(float, row), strict=True))

    def _interval(self, numbers: np.ndarray) -> Interval:
        mean, low, high = map(float, numbers)
        return Interval(mean, low, high, 0 if np.isnan(mean) else self.requests)


def scoreboard(
    baselines: Mapping[str, Results], ours: Mapping[str, Results], list_k: int, eligible: np.ndarray
) -> Scoreboard:
    """Compare; eligible: [N] bool, what could be recommended."""
    everyone = {**baselines, **ours}
    metrics = tuple(dict.fromkeys(name for result in everyone.values() for name in result.metrics))
    n = len(next(iter(everyone.values())).items)
    values, differences = _accuracy(list(everyone.values()), metrics, n)
    lists = [listed(result, list_k) for result in everyone.values()]
    catalogue = [[of(one, eligible, one.items.shape[1]) for of in (coverage, gini, effective_items)] for one in lists]
    return Scoreboard(tuple(everyone), tuple(baselines), metrics, n, list_k, values, differences, np.array(catalogue))


def listed(result: Results, k: int) -> Candidates:
    """The first k places of what was recommended."""
    items = result.items[:, :k]
    return Candidates(items, np.zeros(items.shape, np.float32), "list")


def _accuracy(everyone: Sequence[Results], metrics: Sequence[str], n: int) -> tuple[np.ndarray, np.ndarray]:
    """Intervals [C, M, 3] of the means and [C, C, M, 3] of the differences, a block of metrics at a time.

    Every request has every metric, so the resamples of a difference are the differences of the resamples, and all
    pairs are had for the price of one set of them.
    """
    step = max(1, _BLOCK // (len(everyone) * max(n, samples_for(n))))
    blocks = [_block(everyone, metrics[start : start + step], n) for start in range(0, len(metrics), step)]
    values, differences = zip(*blocks, strict=True)
    return np.concatenate(values, axis=1), np.concatenate(differences, axis=2)


def _block(everyone: Sequence[Results], metrics: Sequence[str], n: int) -> tuple[np.ndarray, np.ndarray]:
    missing = np.full(n, np.nan)
    rows = np.stack([result.metrics.get(metric, missing) for result in everyone for metric in metrics])
    shape = (len(everyone), len(metrics))
    means = rows.mean(axis=1).reshape(shape)
    resampled = resampled_sums(rows, samples_for(n), seed=0).reshape(*shape, -1) / n
    against = [_bounded(means - means[b], resampled - resampled[b]) for b in range(len(everyone))]
    return _bounded(means, resampled), np.stack(against, axis=1)


def _bounded(means: np.ndarray, resampled: np.ndarray) -> np.ndarray:
    """Mean, low and high of each; rounded outwards to a resampled value, as in `bootstrap`."""
    low = np.quantile(resampled, _TAIL, axis=-1, method="lower")
    high = np.quantile(resampled, 1 - _TAIL, axis=-1, method="higher")
    return np.stack([means, low, high], axis=-1).round(_DIGITS)

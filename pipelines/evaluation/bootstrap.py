"""Seeded bootstrap intervals of means over requests (percentile method; Efron and Tibshirani, 1993, ch. 13).

Requests are resampled as if they were independent. Where one query makes many requests they are not, and the
intervals come out too narrow: `cluster` (the query of each request) resamples whole queries instead, with all
their requests (cluster bootstrap; Davison and Hinkley, 1997, section 3.8). The estimate stays the mean over
requests; where every query should weigh the same, give one value for each query. With a handful of values or
clusters the intervals are too narrow; `n` is there for the caller to judge by.

Equal seeds and as many values (or the same clusters) give the same resamples, in one call or in several.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

# Draws at a time: bounds memory to about 100 MB, whatever the number of resamples.
_CHUNK = 4_000_000


@dataclass(frozen=True)
class Interval:
    """An estimate from n values (or clusters) and its bounds; all NaN when n is 0."""

    mean: float
    low: float
    high: float
    n: int


def interval(
    values: np.ndarray,
    level: float = 0.95,
    samples: int = 2000,
    seed: int = 0,
    cluster: np.ndarray | None = None,
) -> Interval:
    """Interval of mean(values), values [n], at `level` from `samples` resamples; cluster: any ids, [n].

    Raises ValueError for values that are not finite (drop requests without targets first), for a level
    outside (0, 1), for samples < 1 and for a cluster of another length.
    """
    return intervals(_finite(values)[None, :], level, samples, seed, cluster)[0]


def intervals(
    values: np.ndarray,
    level: float = 0.95,
    samples: int = 2000,
    seed: int = 0,
    cluster: np.ndarray | None = None,
) -> list[Interval]:
    """Interval of the mean of each row of `values` [m, n], all from the same resamples of columns.

    A NaN is a value that cannot be said: it is left out of its row and of that row's n, as are resamples that
    draw none of a row's values. Errors as in `interval`, for infinite values.
    """
    values = np.asarray(values, np.float64)
    if np.isinf(values).any():
        raise ValueError("values: got inf, expected finite numbers, or NaN where there is no value")
    present = ~np.isnan(values)
    sums, weights = _clustered(np.where(present, values, 0.0), cluster), _clustered(present, cluster)
    shared = weights[:1] if (weights == weights[:1]).all() else weights  # the usual case: nothing is missing
    drawn = resampled_sums(np.concatenate([sums, shared]), samples, seed)
    with np.errstate(invalid="ignore"):  # 0 / 0: a resample without a value, or a row without any
        means, resampled = sums.sum(axis=1) / weights.sum(axis=1), drawn[: len(sums)] / drawn[len(sums) :]
    return [_bounds(*row, level) for row in zip(means, resampled, (weights > 0).sum(axis=1), strict=True)]


def paired_interval(
    a: np.ndarray,
    b: np.ndarray,
    level: float = 0.95,
    samples: int = 2000,
    seed: int = 0,
    cluster: np.ndarray | None = None,
) -> Interval:
    """Interval of mean(a - b); a and b [n] pair by request. Errors as in `interval`, and unequal lengths."""
    return interval(np.subtract(*_paired(a, b)), level, samples, seed, cluster)


def paired_intervals(
    values: np.ndarray,
    rival: np.ndarray,
    level: float = 0.95,
    samples: int = 2000,
    seed: int = 0,
    cluster: np.ndarray | None = None,
) -> list[Interval]:
    """Interval of mean(row - rival) for each row of `values` [m, n], all from the same resamples.

    rival: [n], or [m, n] to give each row its own (several metrics at once). A request is left out where
    either of the two is NaN. Errors as in `intervals`, and for a rival of another length.
    """
    if rival.shape not in (values.shape, values.shape[1:]):
        raise ValueError(f"rival: got shape {rival.shape}, expected {values.shape[1:]} or {values.shape}")
    return intervals(np.subtract(values, rival, dtype=np.float64), level, samples, seed, cluster)


def paired_lift(
    a: np.ndarray,
    b: np.ndarray,
    level: float = 0.95,
    samples: int = 2000,
    seed: int = 0,
    cluster: np.ndarray | None = None,
) -> Interval:
    """Interval of the relative lift mean(a) / mean(b) - 1; a and b [n], not negative, pair by request.

    Both means come from the same resample. Two means of 0 are a lift of 0; a lift over 0 alone is inf.
    Errors as in `interval`.
    """
    a, b = (_finite(side) for side in _paired(a, b))
    # Summed as differences, so that rounding never makes a lift of two equal sides.
    gain, base = _clustered(np.stack([a - b, b]), cluster)
    resampled = _ratio(*resampled_sums(np.stack([gain, base]), samples, seed))
    return _bounds(_ratio(gain.sum(), base.sum()) if len(b) else np.nan, resampled, len(base), level)


def _paired(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if len(a) != len(b):
        raise ValueError(f"paired values: got {len(a)} and {len(b)}, expected as many of both")
    return np.stack([a, b]).astype(np.float64)


def _finite(values: np.ndarray) -> np.ndarray:
    if not np.isfinite(values).all():
        raise ValueError("values: got NaN or inf, expected finite numbers (requests without targets have none)")
    return np.asarray(values, np.float64)


def _ratio(gain: np.ndarray, base: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(gain == 0, 0.0, gain / base)


def _clustered(values: np.ndarray, cluster: np.ndarray | None) -> np.ndarray:
    """Sums of `values` [m, n] over the requests of each cluster, float64 [m, clusters]."""
    if cluster is None:
        return values.astype(np.float64)
    if len(cluster) != values.shape[1]:
        raise ValueError(f"cluster: got {len(cluster)} ids, expected {values.shape[1]}, one for each value")
    if not len(cluster):
        return np.zeros(values.shape)
    order = np.argsort(cluster, kind="stable")
    first = np.unique(cluster[order], return_index=True)[1]
    return np.add.reduceat(values[:, order], first, axis=1, dtype=np.float64)


def resampled_sums(values: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """Sums of every row of `values` [m, n] under the same `samples` resamples of columns, [m, samples].

    A resample is held as how often it drew each column, so that one product serves all rows. The draws are
    one stream, which does not depend on how it is cut into chunks.
    """
    if samples < 1:
        raise ValueError(f"samples: got {samples}, expected at least 1")
    rows, n = values.shape
    sums = np.zeros((rows, samples))
    if not n:
        return sums
    generator = np.random.default_rng(seed)
    step = max(1, _CHUNK // n)
    # One thread: products this thin gain little from more, and on a busy machine threads wait for each other.
    with threadpool_limits(1, "blas"):
        for start in range(0, samples, step):
            size = min(step, samples - start)
            drawn = generator.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
            times = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)
            sums[:, start : start + size] = values @ times.T.astype(np.float64)
    return sums


def _bounds(mean: float | np.ndarray, resampled: np.ndarray, n: int, level: float) -> Interval:
    if not 0 < level < 1:
        raise ValueError(f"level: got {level}, expected a number between 0 and 1")
    resampled = resampled[~np.isnan(resampled)]
    if not n or not len(resampled):
        return Interval(float(mean), np.nan, np.nan, int(n))
    tail = (1 - level) / 2
    # Rounded outwards to a resampled value: never narrower than asked, and defined where lifts are infinite.
    low = np.quantile(resampled, tail, method="lower")
    high = np.quantile(resampled, 1 - tail, method="higher")
    return Interval(float(mean), float(low), float(high), int(n))

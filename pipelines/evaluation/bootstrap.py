"""Seeded bootstrap intervals of means over requests (percentile method; Efron and Tibshirani, 1993, ch. 13).

Requests are resampled as if they were independent: where one query makes many requests, give one value for
each query. With a handful of values the intervals are too narrow; `n` is there for the caller to judge by.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Values drawn at a time: bounds memory to about 100 MB, whatever the number of resamples.
_CHUNK = 4_000_000


@dataclass(frozen=True)
class Interval:
    """An estimate from n values and its bounds; all NaN when n is 0."""

    mean: float
    low: float
    high: float
    n: int


def interval(values: np.ndarray, level: float = 0.95, samples: int = 2000, seed: int = 0) -> Interval:
    """Interval of mean(values), values [n], at `level` from `samples` resamples.

    Raises ValueError for values that are not finite (drop requests without targets first), for a level
    outside (0, 1) and for samples < 1.
    """
    values = np.asarray(values, np.float64)
    resampled = _resampled_means(values[None, :], samples, seed)[0]
    return _bounds(values.mean() if len(values) else np.nan, resampled, level, len(values))


def paired_interval(a: np.ndarray, b: np.ndarray, level: float = 0.95, samples: int = 2000, seed: int = 0) -> Interval:
    """Interval of mean(a - b); a and b [n] pair by request. Errors as in `interval`, and unequal lengths."""
    return interval(np.subtract(*_paired(a, b)), level, samples, seed)


def paired_lift(a: np.ndarray, b: np.ndarray, level: float = 0.95, samples: int = 2000, seed: int = 0) -> Interval:
    """Interval of the relative lift mean(a) / mean(b) - 1; a and b [n], not negative, pair by request.

    Both means come from the same resample. Two means of 0 are a lift of 0; a lift over 0 alone is inf.
    Errors as in `interval`.
    """
    pair = _paired(a, b)
    resampled = _lift(*_resampled_means(pair, samples, seed))
    n = pair.shape[1]
    return _bounds(_lift(*pair.mean(axis=1)) if n else np.nan, resampled, level, n)


def _paired(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if len(a) != len(b):
        raise ValueError(f"paired values: got {len(a)} and {len(b)}, expected as many of both")
    return np.stack([a, b]).astype(np.float64)


def _lift(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(a == b, 0.0, a / b - 1)


def _resampled_means(values: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """Means of every row of `values` [m, n] under the same `samples` resamples of columns, [m, samples].

    The draws are one stream, so the result does not depend on how it is cut into chunks.
    """
    if samples < 1:
        raise ValueError(f"samples: got {samples}, expected at least 1")
    if not np.isfinite(values).all():
        raise ValueError("values: got NaN or inf, expected finite numbers (requests without targets have none)")
    rows, n = values.shape
    means = np.full((rows, samples), np.nan)
    if not n:
        return means
    generator = np.random.default_rng(seed)
    step = max(1, _CHUNK // n)
    for start in range(0, samples, step):
        stop = min(start + step, samples)
        drawn = generator.integers(n, size=(stop - start, n))
        for row in range(rows):
            means[row, start:stop] = values[row][drawn].mean(axis=1)
    return means


def _bounds(mean: float | np.ndarray, resampled: np.ndarray, level: float, n: int) -> Interval:
    if not 0 < level < 1:
        raise ValueError(f"level: got {level}, expected a number between 0 and 1")
    tail = (1 - level) / 2
    # Rounded outwards to a resampled value: never narrower than asked, and defined where lifts are infinite.
    low = np.quantile(resampled, tail, method="lower")
    high = np.quantile(resampled, 1 - tail, method="higher")
    return Interval(float(mean), float(low), float(high), n)

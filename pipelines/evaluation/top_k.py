"""The k largest of each row, in an order that depends on the values alone."""

from __future__ import annotations

import numpy as np

_GROUPS = 16  # groups of columns for each of the k that are sought
_CROWDED = 8  # more than so many times k contenders in a row are quicker to partition than to look up
_COLUMN = np.int64(2**32 - 1)
_LAST = np.iinfo(np.int64).max


def top_k(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns and values of the k largest scores in each row, best first, ties to the lower column.

    scores: float32 [b, N] without NaN, N >= k. Returns int32 [b, k] and float32 [b, k]; where a row has
    fewer than k scores above -inf, the rest is -1 and -inf.
    """
    rows, width = scores.shape
    if not k or not rows:
        return np.zeros((rows, k), np.int32), np.zeros((rows, k), np.float32)
    contenders = scores >= _floor(scores, k)
    if np.count_nonzero(contenders) > _CROWDED * k * rows:
        return _decoded(np.sort(np.partition(_keys(scores, np.arange(width)), k - 1, axis=1)[:, :k], axis=1))
    row, column = np.divmod(np.flatnonzero(contenders), width)
    return top_k_of_pairs(row, column, scores[row, column], rows, k)


def top_k_of_pairs(
    row: np.ndarray, column: np.ndarray, scores: np.ndarray, rows: int, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """What `top_k` gives for `rows` rows in which only the named columns, each once, score above -inf.

    row [n] ascending; column [n]; scores float32 [n] without NaN. A row may have fewer than k of them.
    """
    keys = _keys(scores, column)
    order = np.argsort(keys)
    order = order[np.argsort(row[order].astype(np.min_scalar_type(rows)), kind="stable")]  # 16 bits are sorted fastest
    lengths = np.bincount(row, minlength=rows)
    place = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    first = place < k
    table = np.full((rows, k), _LAST)
    table[row[first], place[first]] = keys[order[first]]
    return _decoded(table)


def ordered(numbers: np.ndarray) -> np.ndarray:
    """Floating-point numbers of any width as integers in the same order; given those bits as a float, and back."""
    bits = numbers.view(f"i{numbers.itemsize}")
    return bits ^ ((bits >> (8 * bits.itemsize - 1)) & np.iinfo(bits.dtype).max)


def _floor(scores: np.ndarray, k: int) -> np.ndarray:
    """A bound that the k-th largest of each row reaches, [b, 1]: the k-th largest maximum of groups of columns.

    k groups hold one such value each. One pass finds the maxima, and they are far fewer to partition than the scores.
    """
    rows, width = scores.shape
    size = max(1, width // (_GROUPS * k))
    even = width - width % size
    groups = scores[:, :even].reshape(rows, size, even // size).max(axis=1)
    # Negated, because NumPy partitions near the front several times faster than near the back.
    return -np.partition(-np.concatenate([groups, scores[:, even:]], axis=1), k - 1, axis=1)[:, k - 1, None]


def _keys(scores: np.ndarray, column: np.ndarray) -> np.ndarray:
    """int64 that sort as (highest score, lowest column): NumPy sorts them many times faster than it sorts stably."""
    high = ~ordered(scores + np.float32(0))  # added to, -0 becomes 0: they are level
    return high.astype(np.int64) << 32 | column


def _decoded(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    columns, high = (keys & _COLUMN).astype(np.int32), (keys >> 32).astype(np.int32)
    scores = np.where(keys == _LAST, np.float32(-np.inf), ordered(~high).view(np.float32))
    return np.where(scores == -np.inf, np.int32(-1), columns), scores

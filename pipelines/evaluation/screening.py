"""Which few of many items need exact scores: those that cheap scores, with a bound on their error, leave in doubt.

An item whose cheap score lies further below another's than the errors of both allow scores less than it. So what is
found is the same at any precision, and half the precision is twice the speed where bfloat16 is multiplied natively.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from pipelines.evaluation.top_k import ordered
from pipelines.tables import Ragged
from towers.backend import tf

CHUNK = 8192  # items scored at a time: with a block of queries their scores should fit the processor's cache
_PAIRS = 1 << 11  # exact scores at a time, for the same reason
_MOST = 1 << 21  # contenders of a block of queries that are held at a time
_SPARE = 1.5  # contenders asked for, in units of k, so that k and all within the error of the k-th are among them


class Screen:
    """M items in random order, scored in chunks of CHUNK as keys: integers in the order of the cheap scores.

    Cheap scores are those of the items' differences from their mean. For a query this moves all scores alike, and
    smaller numbers have smaller errors.
    """

    def __init__(self, items: np.ndarray, dtype: tf.DType | None = None) -> None:
        """items: float32 [M, d], all finite; dtype: float32 or bfloat16, by default the faster on this machine."""
        self.items = items
        self.dtype = dtype or (tf.bfloat16 if _multiplies_bfloat16() else tf.float32)
        self.starts = range(0, len(items), CHUNK)
        bits = np.iinfo(f"i{self.dtype.size}")
        self.lowest = bits.dtype.type(bits.min)
        self._mean = items.mean(axis=0)
        self._cheap: list[tf.Tensor] = []
        self._longest = self._rounded = 0.0
        for start in self.starts:
            moved = items[start : start + CHUNK] - self._mean
            self._cheap.append(self.lowered(moved))
            values = tf.cast(self._cheap[-1], tf.float32).numpy()
            self._longest = max(self._longest, _longest(values))
            self._rounded = max(self._rounded, _longest(moved - values))
        # At least the length of the longest item, before and after it is moved and rounded, together.
        self._both = 2 * self._longest + self._rounded + _longest(self._mean[None])

    def lowered(self, vectors: np.ndarray) -> tf.Tensor:
        """float32 vectors at the precision of the cheap scores."""
        with tf.device("CPU"):  # a GPU may multiply float32 as TF32, whose error is larger
            return tf.cast(tf.constant(vectors), self.dtype)

    def keys(self, queries: tf.Tensor, chunk: int, barred: Ragged, positive: bool) -> np.ndarray:
        """Keys of a chunk's n items for b lowered queries, int16 or int32 [b, n]; `lowest` at barred places.

        With `positive` only keys above 0 are right, and the others not above it, which saves time.
        """
        with tf.device("CPU"):
            product = _product(queries, self._cheap[chunk])
        scores = np.asarray(product)  # its memory, where numpy() would copy
        keys = scores.view(self.lowest.dtype) if positive else ordered(scores)
        place = barred.values - self.starts[chunk]
        inside = (place >= 0) & (place < keys.shape[1])
        if inside.any():
            keys = keys if keys.flags.writeable else keys.copy()
            keys[barred.rows[inside], place[inside]] = self.lowest
        return keys

    def error(self, queries: np.ndarray) -> np.ndarray:
        """How far a cheap score, before it is rounded to a key, may be from the exact one, float64 [b].

        Raises ValueError for queries so long that scores may be infinite.
        """
        length, rounded = (
            np.linalg.norm(vectors.astype(np.float64), axis=1)
            for vectors in (queries, queries - tf.cast(self.lowered(queries), tf.float32).numpy())
        )
        if length.max(initial=0) * self._both > np.finfo(np.float32).max / 2:
            raise ValueError("scores: got vectors whose products are too large for float32, expected finite scores")
        # Of sums of d products in float32, in whatever order: the cheap score and the exact one (Higham, 2002, 3.1).
        summed = 2.0**-23 * (self.items.shape[1] + 4) * self._both
        # The last term is for subnormal numbers, which processors may take for zero.
        return length * (self._rounded + summed) + rounded * self._longest + 1e-30

    def shift(self, queries: np.ndarray) -> np.ndarray:
        """By how much the cheap scores of each query are lower than the exact ones, float64 [b]."""
        return queries.astype(np.float64) @ self._mean.astype(np.float64)

    def key(self, scores: np.ndarray) -> np.ndarray:
        """The key that scores round to. Rounding keeps the order: a score not below another has no lower key."""
        return ordered(scores.astype(np.float32).astype(self.dtype.as_numpy_dtype))

    def least(self, keys: np.ndarray) -> np.ndarray:
        """A bound below all scores that round to each key, float64; -inf for `lowest`."""
        score = ordered(keys).view(self.dtype.as_numpy_dtype).astype(np.float64)
        unit = 2.0 ** -(8 if self.dtype == tf.bfloat16 else 24)
        return np.where(keys == self.lowest, -np.inf, score - unit * np.abs(score))

    def exact(self, queries: np.ndarray, row: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Exact scores of pairs of a query and an item, float32 [len(row)]: the same for a pair whatever the others."""
        scores = np.empty(len(row), np.float32)
        for start in range(0, len(row), _PAIRS):
            part = slice(start, start + _PAIRS)
            vectors = queries.take(row[part], axis=0), self.items.take(place[part], axis=0)
            np.einsum("ij,ij->i", *vectors, out=scores[part])
        return scores


def contenders(
    screen: Screen, queries: np.ndarray, k: int, barred: Ragged, floor: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Row and place of all pairs that may be among a query's k best, ascending by row.

    queries: float32 [b, d], all finite; barred: places that are out of the question, by query; floor:
    keys [b] below which there is nothing to be found, by default a guess, which is mended where it is too high.
    """
    lowered, found, held = screen.lowered(queries), [], 0
    for chunk, start in enumerate(screen.starts):
        keys = screen.keys(lowered, chunk, barred, positive=floor is not None and floor.min() > 0)
        floor = _guess(keys, k / len(screen.items)) if floor is None else floor
        cell = np.flatnonzero(keys >= floor[:, None])
        row, place = np.divmod(cell, keys.shape[1])
        found.append((row, place + start, keys.ravel()[cell]))
        held += len(cell)
        if held > _MOST and len(queries) > 1:
            halves = np.split(np.arange(len(queries)), [len(queries) // 2])
            parts = ((half, queries[half], barred.take(half), floor[half]) for half in halves)
            return _merged(*((half, contenders(screen, of, k, out, least)) for half, of, out, least in parts))
    row, place, key = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.argsort(row << 32 | (np.int64(2**31 - 1) - key))  # by row, and then the best first
    row, place, key = row[order], place[order], key[order]
    kth = _nth(row, key, k, len(queries), screen.lowest)
    # k scores are at least the k-th's least less its error, and the key of as good an item may err as far below that.
    cut = np.maximum(screen.key(screen.least(kth) - 2 * screen.error(queries)), screen.lowest + 1)
    high = np.flatnonzero(cut < floor)
    kept = (key >= cut[row]) & (cut >= floor)[row]
    sure = np.arange(len(queries)), (row[kept], place[kept])
    if not len(high):
        return sure[1]
    return _merged(sure, (high, contenders(screen, queries[high], k, barred.take(high), cut[high])))


def better(
    screen: Screen, queries: np.ndarray, place: np.ndarray, precedence: np.ndarray, k: int, barred: Ragged
) -> np.ndarray:
    """How many items come before each query's own item, at `place` [b]; int64 [b], counted no further than k.

    precedence: [M], lower comes first among level scores. A query is done as soon as k items are found, so that for
    items far from the top only the first chunks are scored.
    """
    own = screen.exact(queries, np.arange(len(queries)), place)
    cheap, error = own - screen.shift(queries), screen.error(queries)
    doubtful, sure = screen.key(cheap - error), screen.key(cheap + error)
    count, left = np.zeros(len(queries), np.int64), np.arange(len(queries))
    for chunk, start in enumerate(screen.starts):
        if not len(left):
            break
        keys = screen.keys(screen.lowered(queries[left]), chunk, barred.take(left), positive=doubtful[left].min() > 0)
        if not chunk and keys.shape[1] >= k:
            lost = np.partition(keys, -k, axis=1)[:, -k] > sure[left]
            count[left[lost]] = k
            keys, left = keys[~lost], left[~lost]
        cell = np.flatnonzero(keys >= doubtful[left, None])
        row, other = np.divmod(cell, keys.shape[1])
        row, other, before = left[row], other + start, keys.ravel()[cell] > sure[left[row]]
        unsure = np.flatnonzero(~before)
        scores, mine = screen.exact(queries, row[unsure], other[unsure]), own[row[unsure]]
        precedes = precedence[other[unsure]] < precedence[place[row[unsure]]]
        before[unsure] = (scores > mine) | ((scores == mine) & precedes)
        count += np.bincount(row[before], minlength=len(queries))
        left = left[count[left] < k]
    return np.minimum(count, k)


def _guess(keys: np.ndarray, share: float) -> np.ndarray:
    """Keys that somewhat more than `share` of all items reach, judged by a sample of n of them; keys [b, n]."""
    expected = _SPARE * share * keys.shape[1]
    rank = min(int(np.ceil(expected + 4.5 * np.sqrt(expected))), keys.shape[1])
    return np.partition(keys, -rank, axis=1)[:, -rank]


def _nth(row: np.ndarray, values: np.ndarray, n: int, rows: int, missing: np.integer) -> np.ndarray:
    """The n-th value of each row, counted from 1; row [m] ascending, values [m]."""
    lengths = np.bincount(row, minlength=rows)
    found = np.full(rows, missing)
    there = lengths >= n
    found[there] = values[(np.cumsum(lengths) - lengths)[there] + n - 1]
    return found


def _merged(*parts: tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Pairs found for several sets of rows, each with the rows that its numbers stand for."""
    row = np.concatenate([rows[row] for rows, (row, _) in parts])
    order = np.argsort(row, kind="stable")
    return row[order], np.concatenate([place for _, (_, place) in parts])[order]


def _longest(vectors: np.ndarray) -> float:
    """A length that no vector exceeds, and the longest almost has."""
    largest = float(np.abs(vectors).max()) or 1.0
    unit = vectors / np.float32(largest)  # whose squares neither overflow nor vanish
    return float(np.sqrt(np.einsum("ij,ij->i", unit, unit).max())) * largest * 1.001


def _product(queries: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
    """Dot products [b, M] of queries [b, d] and items [M, d], rounded to the nearest number of their type."""
    if queries.dtype == tf.bfloat16 and not _multiplies_bfloat16():
        product = tf.matmul(tf.cast(queries, tf.float32), tf.cast(items, tf.float32), transpose_b=True)
        return tf.cast(product, tf.bfloat16)
    return tf.matmul(queries, items, transpose_b=True)


@cache
def _multiplies_bfloat16() -> bool:
    """Whether the processor does, and TensorFlow lets it: its own kernel is slower, and cuts off what oneDNN rounds."""
    flags = Path("/proc/cpuinfo").read_text().split()
    if "avx512_bf16" not in flags and "amx_bf16" not in flags:
        return False
    with tf.device("CPU"):
        one, other = (tf.constant([[value]], tf.bfloat16) for value in (1.3203125, 0.76171875))
        return float(tf.matmul(one, other)[0, 0]) > 1.005  # 1.0057, between 1 and 1.0078

"""What exact search would find, by scoring everything in blocks: little is held beside the vectors, however many."""

from __future__ import annotations

from functools import reduce

import numpy as np

from pipelines.evaluation.top_k import top_k

_QUERIES, _ITEMS = 128, 1 << 16  # scored at once: 32 MB, six times that where all scores are the same


def best_rows(queries: np.ndarray, vectors: np.ndarray, k: int, among: np.ndarray | None = None) -> np.ndarray:
    """Rows of the k vectors [N, D] with the largest inner product, best first, [Q, k]; -1 where there are fewer.

    queries [Q, D], or [Q, m, D] where the largest of m products counts; among [n]: the rows that may be found, or all.
    """
    starts = range(0, max(len(queries), 1), _QUERIES)
    return np.concatenate([_best(queries[start : start + _QUERIES], vectors, k, among) for start in starts])


def _best(queries: np.ndarray, vectors: np.ndarray, k: int, among: np.ndarray | None) -> np.ndarray:
    size = len(vectors) if among is None else len(among)
    scores, rows = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
    for start in range(0, size, _ITEMS):
        if among is None:
            here, block = np.arange(start, min(start + _ITEMS, size)), vectors[start : start + _ITEMS]
        else:
            here = among[start : start + _ITEMS]
            block = vectors[here]
        column, found = top_k(_scores(queries, block), min(k, len(here)))
        scores, rows = np.concatenate([scores, found], axis=1), np.concatenate([rows, here[column]], axis=1)
        column, scores = top_k(scores, min(k, scores.shape[1]))
        rows = np.take_along_axis(rows, column, axis=1)
    return np.pad(rows, [(0, 0), (0, k - rows.shape[1])], constant_values=-1)


def _scores(queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    if queries.ndim == 2:
        return queries @ vectors.T
    return reduce(np.maximum, (queries[:, one] @ vectors.T for one in range(queries.shape[1])))

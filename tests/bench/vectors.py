"""Clustered unit vectors, queries near them, and what these find: shared by the benchmarks of search."""

from __future__ import annotations

import numpy as np

from pipelines.evaluation.top_k import top_k

DIMENSION, CLUSTERS = 64, 2_000
_BLOCK = 1 << 20  # items drawn at once: ten million take little more memory than their vectors
_QUERIES, _ITEMS = 128, 1 << 17  # scored at once


def clustered(rng: np.random.Generator, items: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around random centres, [items, DIMENSION] float32, and the centre of each, [items]."""
    centres = unit(rng.standard_normal((CLUSTERS, DIMENSION), np.float32))
    vectors, cluster = np.empty((items, DIMENSION), np.float32), np.empty(items, np.int64)
    for start in range(0, items, _BLOCK):
        here = slice(start, min(start + _BLOCK, items))
        cluster[here] = rng.integers(0, CLUSTERS, here.stop - start)
        noise = rng.standard_normal((here.stop - start, DIMENSION), np.float32) * np.float32(0.8 / np.sqrt(DIMENSION))
        vectors[here] = unit(centres[cluster[here]] + noise)
    return vectors, cluster


def near(rng: np.random.Generator, vectors: np.ndarray) -> np.ndarray:
    """A query near each of the unit vectors [Q, D], float32."""
    noise = rng.standard_normal(vectors.shape, np.float32)
    return unit(vectors + 0.3 * noise / np.sqrt(vectors.shape[1]))


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors [N, D] at length 1, float32."""
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def best_rows(queries: np.ndarray, vectors: np.ndarray, k: int) -> np.ndarray:
    """Rows of the k vectors [N, D] with the largest inner product, for queries [Q, D], by scoring all: [Q, k]."""
    starts = range(0, len(queries), _QUERIES)
    return np.concatenate([_best(queries[start : start + _QUERIES], vectors, k) for start in starts])


def _best(queries: np.ndarray, vectors: np.ndarray, k: int) -> np.ndarray:
    scores, rows = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
    for start in range(0, len(vectors), _ITEMS):
        here = queries @ vectors[start : start + _ITEMS].T
        column, found = top_k(here, min(k, here.shape[1]))
        scores, rows = np.concatenate([scores, found], axis=1), np.concatenate([rows, start + column], axis=1)
        column, scores = top_k(scores, min(k, scores.shape[1]))
        rows = np.take_along_axis(rows, column, axis=1)
    return rows

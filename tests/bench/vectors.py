"""Clustered unit vectors, and queries near them: shared by the benchmarks of search."""

from __future__ import annotations

import numpy as np

DIMENSION, CLUSTERS = 64, 2_000
_BLOCK = 1 << 20  # items drawn at once: ten million take little more memory than their vectors


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

"""Exact search: one matrix product. Right for small catalogues, and the yardstick of the others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from serving.searchers.base import NOTHING
from towers.backend import tf


class Exact(tf.Module):
    """Scores every item."""

    kind = "exact"

    def __init__(self, vectors: np.ndarray) -> None:
        super().__init__()
        self.size = len(vectors)
        self.vectors = tf.Variable(np.asarray(vectors, np.float32), trainable=False)

    @classmethod
    def build(cls, vectors: np.ndarray) -> Exact:
        """Build over `vectors` [N, D]."""
        return cls(vectors)

    @classmethod
    def restore(cls, parts: Mapping[str, np.ndarray]) -> Exact:
        """Rebuild from saved arrays."""
        return cls(parts["vectors"])

    def save(self, path: Path) -> None:
        """Write the vectors."""
        np.savez(path, kind=self.kind, vectors=self.vectors.numpy())

    def search(self, queries: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Searcher.search`; equal scores are ordered by row."""
        scores, rows = tf.math.top_k(tf.matmul(queries, self.vectors, transpose_b=True), tf.minimum(k, self.size))
        missing = [[0, 0], [0, k - tf.minimum(k, self.size)]]
        return (
            tf.pad(scores, missing, constant_values=-np.inf),
            tf.pad(rows, missing, constant_values=NOTHING),
        )

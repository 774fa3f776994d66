"""Exact search: one matrix product. Right for small catalogues, and the yardstick of the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from serving.searchers.base import IN_PLACE, held, pad
from towers.backend import tf


class Exact(tf.Module):
    """Scores every item."""

    kind = "exact"
    layout_type = layout = effort = None

    def __init__(self, vectors: np.ndarray) -> None:
        super().__init__()
        self.size = len(vectors)
        vectors = np.asarray(vectors, np.float32)
        self.vectors = tf.Variable(vectors, trainable=False, shape=[None, vectors.shape[1]])

    @classmethod
    def build(cls, vectors: np.ndarray, layout: None = None) -> Exact:
        """Build over `vectors` [N, D]."""
        return cls(vectors)

    @classmethod
    def restore(cls, parts: Mapping[str, np.ndarray]) -> Exact:
        """Rebuild from saved arrays."""
        return cls(parts["vectors"])

    def release(self) -> None:
        """See `Searcher.release`: nothing is made."""

    @property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """The vectors."""
        return {"vectors": held(self.vectors)}

    def efforts(self, k: int) -> Sequence[Sequence[None]]:
        """None: every search is exact."""
        return ()

    def layouts(self) -> Sequence[None]:
        """None: there is but one."""
        return ()

    @property
    def parts(self) -> Mapping[str, tf.Variable]:
        """The vectors."""
        return {"vectors": self.vectors}

    @property
    def nbytes(self) -> int:
        """Bytes of the vectors."""
        return 4 * self.size * self.vectors.shape[1]

    def cost(self, k: tf.Tensor) -> tf.Tensor:
        """See `Searcher.cost`: that of all items."""
        return tf.fill(tf.shape(k), tf.cast(tf.shape(self.vectors)[0], tf.float32) / IN_PLACE)

    def search(self, queries: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Searcher.search`; equal scores are ordered by row."""
        scores = tf.matmul(queries, self.vectors, transpose_b=True)
        scores, rows = tf.math.top_k(scores, tf.minimum(k, tf.shape(self.vectors)[0]))
        return pad(scores, rows, k)

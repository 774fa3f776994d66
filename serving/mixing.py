"""Segment popularity mixed into scores, the more the shorter the history: two more parts of the inner product.

    query  [ towers | weight(length of the history) x one-hot(segment) (S + 1) ]
    item   [ towers | log lift in each segment, log popularity overall  (S + 1) ]

The last column is that of queries whose segment is unknown or has no column of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from towers.backend import tf

SHORTEST = (0, 1, 3, 6, 11)  # the least items read in each bucket of lengths
BUCKETS = ("0", "1-2", "3-5", "6-10", "11+")


@dataclass(frozen=True)
class Mixing:
    """What is mixed in for whom.

    segments [S]: values with a column of their own; weights [2, buckets]: of queries in one of them, and of others,
    by the length of the history.
    """

    segments: tuple[str, ...]
    weights: np.ndarray

    @property
    def columns(self) -> int:
        """Number of columns, S + 1."""
        return len(self.segments) + 1

    def extend(self, queries: tf.Tensor, read: tf.Tensor, column: tf.Tensor) -> tf.Tensor:
        """Query vectors [R, D], or [R, m, D], with this part behind.

        read [R]: how many items are read of each, int32; column [R]: that of each query's segment.
        """
        bucket = tf.searchsorted(tf.constant(SHORTEST), read, side="right") - 1
        unknown = tf.cast(column == self.columns - 1, tf.int32)
        weight = tf.gather_nd(tf.constant(self.weights, tf.float32), tf.stack([unknown, bucket], axis=1))
        part = weight[:, None] * tf.one_hot(column, self.columns)
        if queries.shape.rank == 3:
            part = tf.tile(part[:, None], [1, tf.shape(queries)[1], 1])
        return tf.concat([queries, part], axis=-1)

"""Drawing from a fixed distribution over millions of items in constant time, exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from towers.backend import tf


@dataclass(frozen=True)
class Alias:
    """A distribution over N items as N cells of equal weight, each shared by at most two items (Walker 1977).

    Cell i is item i with probability `own` [N], else item `other` [N]. Unlike a look-up in cumulative sums, which
    float32 cannot tell apart beyond some million items, this is exact at any size.
    """

    own: tf.Tensor
    other: tf.Tensor

    @classmethod
    def of(cls, share: np.ndarray) -> Alias:
        """Cells for `share` [N], not negative and of sum 1; built by sweeping cumulative sums (Huebschle-Schneider and
        Sanders, Parallel Weighted Random Sampling, 2019), in numpy alone."""
        weight = share.astype(np.float64) * (len(share) / share.sum(dtype=np.float64))
        largest = weight.argmax()
        weight[largest] = max(weight[largest], 1.0)  # as the mean is 1, but for rounding: one at least has to give
        own, other = np.minimum(weight, 1.0), np.arange(len(share))
        light, heavy = np.flatnonzero(weight < 1), np.flatnonzero(weight >= 1)
        # light cells are filled up from heavy ones in turn; a heavy one that gives more than it can spare is filled up
        # from the next
        lacking, spare = np.cumsum(1 - weight[light]), np.cumsum(weight[heavy] - 1)
        # the very sums that `emptied` is found by, or a tie would be torn
        before = np.append(0.0, lacking)[: len(light)]
        giver = np.searchsorted(spare, before, side="left")
        other[light] = heavy[np.minimum(giver, len(heavy) - 1)]
        emptied = np.searchsorted(lacking, spare, side="right")
        short = np.flatnonzero((emptied < len(light)) & (np.arange(len(heavy)) < len(heavy) - 1))
        own[heavy[short]] = np.clip(1 + spare[short] - lacking[emptied[short]], 0, 1)
        other[heavy[short]] = heavy[short + 1]
        with tf.init_scope():  # not constants of the graph that is being traced, which must not hold tables
            return cls(tf.constant(own, tf.float32), tf.constant(other, tf.int32))

    def pick(self, cell: tf.Tensor, lot: tf.Tensor) -> tf.Tensor:
        """Items for even draws of cells [n] int32 and of `lot` [n] in [0, 1)."""
        return tf.where(lot < tf.gather(self.own, cell), cell, tf.gather(self.other, cell))

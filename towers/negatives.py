"""What a positive is compared with: the columns of the softmax, and how probable each was to be drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from configs.stages import Negatives
from towers.backend import tf


@dataclass(frozen=True)
class Columns:
    """Candidate columns of one batch of Q queries.

    items: [C] catalogue rows, or None for the whole catalogue in its own order; positive: [Q] column of each
    query's positive; log_probability: [C] for logQ, or None where nothing was sampled.
    """

    items: tf.Tensor | None
    positive: tf.Tensor
    log_probability: tf.Tensor | None

    def copies(self, target: tf.Tensor) -> tf.Tensor | None:
        """How many columns hold each target [Q]; None where nothing is corrected for how columns were drawn."""
        if self.items is None or self.log_probability is None:
            return None
        return tf.reduce_sum(tf.cast(self.items[None, :] == target[:, None], tf.int32), axis=1)


def choose_columns(target: tf.Tensor, uniform: tf.Tensor, config: Negatives, frequency: np.ndarray) -> Columns:
    """The columns for `target` [Q]: the whole catalogue when small, else in-batch and `uniform` [U] negatives.

    frequency: [N], share of each item among the training targets, which is how in-batch negatives are drawn.
    """
    if len(frequency) <= config.whole_catalogue_below:
        return Columns(None, target, None)
    items = tf.concat([target, uniform], axis=0)
    log_probability = None
    if config.logq:
        log_probability = tf.gather(_mixture(tf.shape(target)[0], tf.shape(uniform)[0], frequency), items)
    return Columns(items, tf.range(tf.shape(target)[0]), log_probability)


def _mixture(in_batch: tf.Tensor, uniform: tf.Tensor, frequency: np.ndarray) -> tf.Tensor:
    """log q(j) of one column, whichever source it came from: sum_s n_s q_s(j) / sum_s n_s, [N]."""
    from_batch, evenly = tf.cast(in_batch, tf.float32), tf.cast(uniform, tf.float32)
    mixed = from_batch * tf.constant(frequency, tf.float32) + evenly / len(frequency)
    # a share of zero cannot be drawn, but is looked up for items whose only target lies outside the window
    return tf.math.log(tf.maximum(mixed / (from_batch + evenly), 1e-12))

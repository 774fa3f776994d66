"""The recurrent encoder of a history."""

from __future__ import annotations

from configs.stages import History
from towers.backend import keras, tf
from towers.dropout import Randomness, StepDropout
from towers.recency import Pace


class GruHistory(keras.layers.Layer):
    """Gated recurrent units that read one item after the other (GRU4Rec, Hidasi et al. 2016), in `layers` layers.

    Padding leaves the state as it is. A moment that has read nothing gets zeros.
    """

    def __init__(self, config: History, dimension: int, randomness: Randomness) -> None:
        super().__init__()
        self.pace = Pace(dimension) if config.relative_time else None
        # the plain cell in a plain loop: keras.layers.GRU brings a second graph, for cuDNN, into every bundle
        cells = [keras.layers.GRUCell(dimension) for _ in range(config.layers)]
        self.recurrent = [keras.layers.RNN(cell, return_sequences=True) for cell in cells]
        self.dropouts = [StepDropout(config.dropout, randomness) for _ in cells]

    def call(
        self,
        items: tf.Tensor,
        mask: tf.Tensor,
        item_time: tf.Tensor,
        moment: tf.Tensor,
        training: bool = False,
    ) -> tf.Tensor:
        """items [R, L, d], mask and item_time [R, L], moment [R, L + 1] to [R, L + 1, d]."""
        hidden = items if self.pace is None else self.pace(items, item_time, moment)
        for recurrent, dropout in zip(self.recurrent, self.dropouts, strict=True):
            hidden = dropout(recurrent(hidden, mask=mask), training=training)
        return tf.pad(hidden, [[0, 0], [1, 0], [0, 0]])

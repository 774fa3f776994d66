"""History encoders: the last items of a query, read in order, to one vector per moment at which it may ask.

All encoders are causal and share one shape contract. A row holds L past items and L + 1 moments: the vector
at moment i has read the items before i, so a single row trains L + 1 requests at once, and in serving, where
only the last moment matters, the same weights read a plain history. Items are right-aligned or left-aligned
alike: order is read from relative positions and times only.
"""

from __future__ import annotations

from configs.stages import History
from towers.backend import keras, tf
from towers.dropout import Randomness
from towers.gru import GruHistory
from towers.recency import Visibility
from towers.transformer import TransformerHistory, with_start


class MeanHistory(keras.layers.Layer):
    """Mean of the items read so far, weighted by learned functions of how long ago and how far back."""

    def __init__(self, config: History, dimension: int, randomness: Randomness) -> None:
        super().__init__()
        del randomness
        self.start = self.add_weight("start", [1, 1, dimension], initializer="normal")
        self.visibility = Visibility(config, heads=1)

    def call(
        self,
        items: tf.Tensor,
        mask: tf.Tensor,
        item_time: tf.Tensor,
        moment: tf.Tensor,
        training: bool = False,
    ) -> tf.Tensor:
        """items [R, L, d], mask and item_time [R, L], moment [R, L + 1] to [R, L + 1, d]."""
        weights = tf.nn.softmax(self.visibility(mask, item_time, moment)[:, 0])
        return weights @ with_start(self.start, items)


_ENCODERS = {"mean": MeanHistory, "gru": GruHistory, "transformer": TransformerHistory}


def history_encoder(config: History, dimension: int, randomness: Randomness) -> keras.layers.Layer | None:
    """The encoder that the config names, None for "none"."""
    if config.encoder == "none":
        return None
    return _ENCODERS[config.encoder](config, dimension, randomness)

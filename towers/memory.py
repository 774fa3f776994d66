"""Cross-batch memory: the last positives and the vectors they had (Wang et al., CVPR 2020)."""

from __future__ import annotations

from towers.backend import keras, tf


class Memory(keras.layers.Layer):
    """The last `size` items that were pushed, oldest first, with their vectors of `width` numbers.

    items: [size] int32, -1 for places not filled yet; vectors: [size, width] float32. They are weights, so that they
    are saved and undone together with those that the vectors came from.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__(dtype=tf.float32)
        nothing = keras.initializers.Constant(-1)
        self.items = self.add_weight("items", [size], tf.int32, nothing, trainable=False)
        self.vectors = self.add_weight("vectors", [size, width], initializer="zeros", trainable=False)

    def push(self, items: tf.Tensor, vectors: tf.Tensor, kept: tf.Tensor) -> None:
        """Add those of items [n] and vectors [n, width] where `kept` [n], and let as many of the oldest go."""
        rows = tf.concat([self.items, items], axis=0)
        there = tf.concat([self.items >= 0, kept], axis=0)
        last = tf.argsort(tf.cast(there, tf.int32), stable=True)[-self.items.shape[0] :]
        held = tf.concat([self.vectors, tf.cast(vectors, tf.float32)], axis=0)
        self.items.assign(tf.where(tf.gather(there, last), tf.gather(rows, last), -1))
        self.vectors.assign(tf.gather(held, last))

"""How far back an item of a history lies, in items and in time: what every history encoder may weigh by."""

from __future__ import annotations

from configs.stages import History
from towers.backend import keras, tf

_TIME_BUCKETS = 32


def time_bucket(elapsed: tf.Tensor) -> tf.Tensor:
    """Elapsed time (seconds or steps, any int) to one of 32 buckets that double in width."""
    positive = tf.cast(tf.maximum(elapsed, 0), tf.float32)
    bucket = tf.cast(tf.math.log(1.0 + positive) / tf.math.log(2.0), tf.int32)
    return tf.minimum(bucket, _TIME_BUCKETS - 1)


class Visibility(keras.layers.Layer):
    """Which items a moment may read, and learned weights for how far back and how long ago they lie."""

    def __init__(self, config: History, heads: int) -> None:
        super().__init__()
        self._length = config.length
        self.by_position = _zeros(config.length + 1, heads) if config.position == "relative" else None
        self.by_time = _zeros(_TIME_BUCKETS, heads) if config.relative_time else None

    def call(self, mask: tf.Tensor, item_time: tf.Tensor, moment: tf.Tensor) -> tf.Tensor:
        """Logits to be added to attention, [R, heads, L + 1, L + 1], or [R, 1, ...] where all heads see the same.

        mask [R, L] bool, item_time [R, L], moment [R, L + 1]. Key 0 is the start token, always visible, so that an
        empty history reads something.
        """
        length = tf.shape(mask)[1]
        steps_back = tf.range(length + 1)[:, None] - tf.range(length)[None, :]  # 1 is the latest item
        weight = tf.zeros([1, 1, 1, 1], self.compute_dtype)
        if self.by_position is not None:
            weight += self.by_position(tf.clip_by_value(steps_back, 0, self._length))[None]
        if self.by_time is not None:
            weight += self.by_time(time_bucket(moment[:, :, None] - item_time[:, None, :]))
        visible = mask[:, None, :] & (steps_back > 0)[None]
        bias = tf.where(visible[..., None], weight, weight.dtype.min / 2)
        return tf.transpose(tf.pad(bias, [[0, 0], [0, 0], [1, 0], [0, 0]]), [0, 3, 1, 2])


class Pace(keras.layers.Layer):
    """Items with how long each was the latest one, [R, L, d]; at the last item, the time since it."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.elapsed = _zeros(_TIME_BUCKETS, dimension)

    def call(self, items: tf.Tensor, item_time: tf.Tensor, moment: tf.Tensor) -> tf.Tensor:
        """items [R, L, d], item_time [R, L], moment [R, L + 1]."""
        return items + self.elapsed(time_bucket(moment[:, 1:] - item_time))


def _zeros(size: int, dimension: int) -> keras.layers.Layer:
    return keras.layers.Embedding(size, dimension, embeddings_initializer="zeros")

"""History encoders: the last items of a query, read in order, to one vector per moment at which it may ask.

All encoders are causal and share one shape contract. A row holds L past items and L + 1 moments: the vector
at moment i has read the items before i, so a single row trains L + 1 requests at once, and in serving, where
only the last moment matters, the same weights read a plain history. Items are right-aligned or left-aligned
alike: order is read from relative positions and times only.
"""

from __future__ import annotations

from configs.stages import History
from towers.backend import keras, tf
from towers.dropout import Randomness, StepDropout

_TIME_BUCKETS = 32


def time_bucket(elapsed: tf.Tensor) -> tf.Tensor:
    """Elapsed time (seconds or steps, any int) to one of 32 buckets that double in width."""
    positive = tf.cast(tf.maximum(elapsed, 0), tf.float32)
    bucket = tf.cast(tf.math.log(1.0 + positive) / tf.math.log(2.0), tf.int32)
    return tf.minimum(bucket, _TIME_BUCKETS - 1)


class _Visibility(keras.layers.Layer):
    """Which items a moment may read, and a learned weight for how far back they lie.

    In: mask [R, L] bool, item_time [R, L], moment [R, L + 1]. Out: [R, heads, L + 1, L + 1] logits to be added
    to attention; key 0 is the start token, always visible, so that an empty history reads something.
    """

    def __init__(self, length: int, heads: int) -> None:
        super().__init__()
        self._length = length
        self.by_position = keras.layers.Embedding(length + 1, heads, embeddings_initializer="zeros")
        self.by_time = keras.layers.Embedding(_TIME_BUCKETS, heads, embeddings_initializer="zeros")

    def call(self, mask: tf.Tensor, item_time: tf.Tensor, moment: tf.Tensor) -> tf.Tensor:
        length = tf.shape(mask)[1]
        steps_back = tf.range(length + 1)[:, None] - tf.range(length)[None, :]  # 1 is the latest item
        position = self.by_position(tf.clip_by_value(steps_back, 0, self._length))[None]
        elapsed = self.by_time(time_bucket(moment[:, :, None] - item_time[:, None, :]))
        visible = mask[:, None, :] & (steps_back > 0)[None]
        bias = tf.where(visible[..., None], position + elapsed, -1e9)
        return tf.transpose(tf.pad(bias, [[0, 0], [0, 0], [1, 0], [0, 0]]), [0, 3, 1, 2])


class MeanHistory(keras.layers.Layer):
    """Mean of the items read so far, weighted by learned functions of how long ago and how far back."""

    def __init__(self, config: History, dimension: int, randomness: Randomness) -> None:
        super().__init__()
        del randomness
        self.start = self.add_weight("start", [1, 1, dimension], initializer="normal")
        self.visibility = _Visibility(config.length, heads=1)

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
        return weights @ _with_start(self.start, items)


class TransformerHistory(keras.layers.Layer):
    """Causal pre-norm transformer with relative position and relative time biases.

    After SASRec (Kang & McAuley 2018), with the biases of HSTU (Zhai et al. 2024) instead of positions counted
    from the start, which would shift when a history is cut to its last items.
    """

    def __init__(self, config: History, dimension: int, randomness: Randomness) -> None:
        super().__init__()
        self.start = self.add_weight("start", [1, 1, dimension], initializer="normal")
        self.visibility = _Visibility(config.length, config.heads)
        self.elapsed = keras.layers.Embedding(_TIME_BUCKETS, dimension, embeddings_initializer="zeros")
        self.blocks = [_Block(config.heads, dimension, 0.1, randomness) for _ in range(config.layers)]
        self.norm = keras.layers.LayerNormalization(epsilon=1e-6)

    def call(
        self,
        items: tf.Tensor,
        mask: tf.Tensor,
        item_time: tf.Tensor,
        moment: tf.Tensor,
        training: bool = False,
    ) -> tf.Tensor:
        """items [R, L, d], mask and item_time [R, L], moment [R, L + 1] to [R, L + 1, d]."""
        bias = self.visibility(mask, item_time, moment)
        # each item carries how long it was the latest one: the pace of the history
        pace = self.elapsed(time_bucket(moment[:, 1:] - item_time))
        # a moment whose own place is padding is one that has read nothing: it starts from the start token
        hidden = _with_start(self.start, tf.where(mask[..., None], items + pace, self.start))
        for block in self.blocks:
            hidden = block(hidden, bias, training=training)
        return self.norm(hidden)


def _with_start(start: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
    rows = tf.shape(items)[0]
    return tf.concat([tf.tile(start, [rows, 1, 1]), items], axis=1)


class _Block(keras.layers.Layer):
    """Attention and a two-layer perceptron, each behind a norm and added to its input."""

    def __init__(self, heads: int, dimension: int, dropout: float, randomness: Randomness) -> None:
        super().__init__()
        self._heads, self._width = heads, dimension // heads
        self.norms = [keras.layers.LayerNormalization(epsilon=1e-6) for _ in range(2)]
        self.project = keras.layers.Dense(3 * dimension, use_bias=False)
        self.merge = keras.layers.Dense(dimension, use_bias=False)
        self.widen = keras.layers.Dense(2 * dimension, activation="gelu")
        self.narrow = keras.layers.Dense(dimension)
        self.dropouts = [StepDropout(dropout, randomness) for _ in range(2)]

    def call(self, hidden: tf.Tensor, bias: tf.Tensor, training: bool = False) -> tf.Tensor:
        attended = self._attend(self.norms[0](hidden), bias)
        hidden += self.dropouts[0](attended, training=training)
        wide = self.narrow(self.widen(self.norms[1](hidden)))
        return hidden + self.dropouts[1](wide, training=training)

    def _attend(self, hidden: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        rows, length = tf.shape(hidden)[0], tf.shape(hidden)[1]
        heads = tf.reshape(self.project(hidden), [rows, length, 3, self._heads, self._width])
        query, key, value = tf.unstack(tf.transpose(heads, [2, 0, 3, 1, 4]))
        weights = tf.nn.softmax(tf.matmul(query, key, transpose_b=True) * self._width**-0.5 + bias)
        merged = tf.transpose(weights @ value, [0, 2, 1, 3])
        return self.merge(tf.reshape(merged, [rows, length, self._heads * self._width]))


def history_encoder(config: History, dimension: int, randomness: Randomness) -> keras.layers.Layer:
    """The encoder that the config names."""
    encoders = {"mean": MeanHistory, "transformer": TransformerHistory}
    return encoders[config.encoder](config, dimension, randomness)

"""The causal transformer over a history."""

from __future__ import annotations

from configs.stages import History
from towers.backend import keras, tf
from towers.dropout import Randomness, StepDropout
from towers.recency import Pace, Visibility


class TransformerHistory(keras.layers.Layer):
    """Causal pre-norm transformer with relative position and relative time biases.

    After SASRec (Kang & McAuley 2018), with the biases of HSTU (Zhai et al. 2024) instead of positions counted
    from the start, which would shift when a history is cut to its last items, and with convolutions over the latest
    items in front of attention, after Primer (So et al. 2021).
    """

    def __init__(self, config: History, dimension: int, randomness: Randomness) -> None:
        super().__init__()
        self._scale = dimension**0.5 if config.scaled else 1.0
        self.start = self.add_weight("start", [1, 1, dimension], initializer="normal")
        self.visibility = Visibility(config, config.heads)
        self.pace = Pace(dimension) if config.relative_time else None
        self.soften = StepDropout(config.input_dropout, randomness) if config.input_dropout else None
        self.blocks = [_Block(config, dimension, randomness) for _ in range(config.layers)]
        # of unit length at first, so that what else a query knows can be heard beside it from the start
        gain = keras.initializers.Constant(dimension**-0.5)
        self.norm = keras.layers.LayerNormalization(epsilon=1e-6, gamma_initializer=gain)

    def call(
        self,
        items: tf.Tensor,
        mask: tf.Tensor,
        item_time: tf.Tensor,
        moment: tf.Tensor,
        training: bool = False,
    ) -> tf.Tensor:
        """items [R, L, d], mask and item_time [R, L], moment [R, L + 1] to [R, L + 1, d]."""
        bias, items = self.visibility(mask, item_time, moment), self._scale * items
        if self.pace is not None:
            items = self.pace(items, item_time, moment)
        # a moment whose own place is padding is one that has read nothing: it starts from the start token
        hidden = with_start(self.start, tf.where(mask[..., None], items, self.start))
        if self.soften is not None:
            hidden = self.soften(hidden, training=training)
        is_item = tf.pad(mask, [[0, 0], [1, 0]])
        for block in self.blocks:
            hidden = block(hidden, is_item, bias, training=training)
        return self.norm(hidden)


def with_start(start: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
    """Items [R, L, d] with the start token [1, 1, d] before the first, [R, L + 1, d]."""
    rows = tf.shape(items)[0]
    return tf.concat([tf.tile(start, [rows, 1, 1]), items], axis=1)


class _Block(keras.layers.Layer):
    """Attention and a two-layer perceptron, each behind a norm and added to its input."""

    def __init__(self, config: History, dimension: int, randomness: Randomness) -> None:
        super().__init__()
        self._heads, self._width = config.heads, dimension // config.heads
        self.latest = _Latest(config.convolution, dimension) if config.convolution else None
        self.norms = [keras.layers.LayerNormalization(epsilon=1e-6) for _ in range(2)]
        self.project = keras.layers.Dense(3 * dimension, use_bias=False)
        self.merge = keras.layers.Dense(dimension, use_bias=False)
        self.widen = keras.layers.Dense(2 * dimension, activation="gelu")
        self.narrow = keras.layers.Dense(dimension)
        self.dropouts = [StepDropout(config.dropout, randomness) for _ in range(2)]

    def call(self, hidden: tf.Tensor, is_item: tf.Tensor, bias: tf.Tensor, training: bool = False) -> tf.Tensor:
        normed = self.norms[0](hidden)
        if self.latest is not None:
            normed = self.latest(normed, is_item)
        attended = self._attend(normed, bias)
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


class _Latest(keras.layers.Layer):
    """Adds a causal depthwise convolution over the latest `width` items: what came right before counts most, and
    attention need not find it. Padding and the start token add nothing, so that rows may be aligned either way."""

    def __init__(self, width: int, dimension: int) -> None:
        super().__init__()
        self.weight = self.add_weight("weight", [width, dimension], initializer="zeros")

    def call(self, hidden: tf.Tensor, is_item: tf.Tensor) -> tf.Tensor:
        """hidden [R, M, d], is_item [R, M] bool; same shape as `hidden`."""
        moments = tf.shape(hidden)[1]
        items = hidden * tf.cast(is_item, hidden.dtype)[..., None]
        for back, weight in enumerate(tf.unstack(self.weight)):
            hidden += weight * tf.pad(items, [[0, 0], [back, 0], [0, 0]])[:, :moments]
        return hidden

"""The two towers: what an item is, and what a query wants at a moment.

Scores are inner products of longer vectors, so that one index serves them all:

    query  [ wish / temperature (d) | 1    | trend weights (t) ]
    item   [ content            (d) | bias | trend         (t) ]

The static part (content and bias) is the tower's; the trend part is counted from the log at a moment
(`pipelines.trend`) and rewritten whenever the index is refreshed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from configs.features import Feature
from configs.stages import Towers
from towers.backend import keras, tf
from towers.dropout import Randomness, StepDropout
from towers.features import Embed, Statistics
from towers.history import history_encoder


class _Perceptron(keras.layers.Layer):
    """Hidden layers with GELU and dropout, then a linear layer to `outputs`."""

    def __init__(self, hidden: Sequence[int], outputs: int, dropout: float, randomness: Randomness) -> None:
        super().__init__()
        self.hidden = [keras.layers.Dense(width, activation="gelu") for width in hidden]
        self.dropouts = [StepDropout(dropout, randomness) for _ in hidden]
        self.last = keras.layers.Dense(outputs)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        for dense, dropout in zip(self.hidden, self.dropouts, strict=True):
            inputs = dropout(dense(inputs), training=training)
        return self.last(inputs)


class ItemTower(keras.layers.Layer):
    """Encoded item features to content [..., d] and bias [..., 1]; `tokens` is what histories read."""

    def __init__(self, config: Towers, features: Sequence[Feature], fitted: Statistics, randomness: Randomness) -> None:
        super().__init__()
        self._cosine = config.similarity == "cosine"
        self._dimension = config.embedding_dim
        self.embed = Embed(features, fitted, randomness)
        self.perceptron = _Perceptron(config.hidden, config.embedding_dim + 1, config.dropout, randomness)

    def call(self, encoded: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """[n, d + 1]: content and bias, content of unit length when the similarity is cosine."""
        content, bias = tf.split(
            self.perceptron(self.embed(encoded, training=training), training=training),
            [self._dimension, 1],
            axis=-1,
        )
        if self._cosine:
            content = tf.math.l2_normalize(content, axis=-1)
        return tf.concat([content, bias], axis=-1)


class QueryTower(keras.layers.Layer):
    """History, static features and request context to query vectors [R, M, d + 1 + t]."""

    def __init__(
        self,
        config: Towers,
        static: Sequence[Feature],
        context: Sequence[Feature],
        fitted: Statistics,
        trends: int,
        randomness: Randomness,
    ) -> None:
        super().__init__()
        self._config = config
        self._has_static, self._has_context = bool(static), bool(context)
        self.history = history_encoder(config.history, config.embedding_dim, randomness)
        self.static = Embed(static, fitted, randomness)
        self.context = Embed(context, fitted, randomness)
        self.perceptron = _Perceptron(config.hidden, config.embedding_dim, config.dropout, randomness)
        # a weight of 0.1 on every trend lets the towers start from what is popular now
        self.trend = keras.layers.Dense(
            trends, kernel_initializer="zeros", bias_initializer=keras.initializers.Constant(0.1)
        )

    def call(
        self,
        items: tf.Tensor,
        mask: tf.Tensor,
        item_time: tf.Tensor,
        moment: tf.Tensor,
        static: Mapping[str, tf.Tensor],
        context: Mapping[str, tf.Tensor],
        last_only: bool = False,
        training: bool = False,
    ) -> tf.Tensor:
        """One vector per moment, or the last moment's alone; M is L + 1, or 1 with `last_only`.

        items [R, L, d], mask [R, L] bool, item_time [R, L] int64, moment [R, L + 1] int64,
        static {name: [R, ...]}, context {name: [R, M, ...]}; to [R, M, d + 1 + t].
        """
        parts = [
            self.history(items, mask, item_time, moment, training=training),
            _activity(mask, item_time, moment),
        ]
        if last_only:  # what the request adds is joined after the history, so earlier moments need no context
            parts = [part[:, -1:] for part in parts]
        if self._has_static:
            known = self.static(static, training=training)[:, None, :]
            parts.append(tf.tile(known, [1, tf.shape(parts[0])[1], 1]))
        if self._has_context:
            parts.append(self.context(context, training=training))
        joined = tf.concat(parts, axis=-1)
        wish = self.perceptron(joined, training=training)
        if self._config.history.encoder == "transformer":
            wish += parts[0]
        if self._config.similarity == "cosine":
            wish = tf.math.l2_normalize(wish, axis=-1)
        wish /= self._config.temperature
        return tf.concat([wish, tf.ones_like(wish[..., :1]), self.trend(joined)], axis=-1)


def _activity(mask: tf.Tensor, item_time: tf.Tensor, moment: tf.Tensor) -> tf.Tensor:
    """Log of how many items a moment can see and log of the time since the latest, [R, L + 1, 2]."""
    count = tf.pad(tf.cumsum(tf.cast(mask, tf.float32), axis=1), [[0, 0], [1, 0]])
    since = tf.cast(tf.maximum(moment[:, 1:] - item_time, 0), tf.float32)
    since = tf.pad(tf.where(mask, tf.math.log1p(since) / 10.0, 0.0), [[0, 0], [1, 0]])
    return tf.stack([tf.math.log1p(count) / 4.0, since], axis=-1)

"""The two towers: what an item is, and what a query wants at a moment.

Scores are inner products of longer vectors, so that one index serves them all:

    query  [ wish / temperature (d) | 1    | trend weights (t) ]
    item   [ content            (d) | bias | trend         (t) ]

A query may be m such vectors that differ in what they wish; it scores an item by the largest of m products (`maxsim`).

The static part (content and bias) is the tower's; the trend part is counted from the log at a moment
(`pipelines.trend_counts`) and rewritten whenever the index is refreshed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from configs.features import Feature
from configs.stages import Towers
from towers.backend import keras, tf
from towers.cross import Crosses
from towers.dropout import Randomness, StepDropout, StepHide
from towers.features import Embed, Statistics
from towers.history import history_encoder


class _Top(keras.layers.Layer):
    """Hidden layers with GELU and dropout, behind crosses of the inputs if so configured, then one to `outputs`."""

    def __init__(self, config: Towers, outputs: int, randomness: Randomness) -> None:
        super().__init__()
        self.crosses = Crosses(config.cross_layers) if config.top == "dcn" else None
        self.hidden = [keras.layers.Dense(width, activation="gelu") for width in config.hidden]
        self.dropouts = [StepDropout(config.dropout, randomness) for _ in config.hidden]
        self.last = keras.layers.Dense(outputs)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        if self.crosses is not None:
            inputs = self.crosses(inputs)
        for dense, dropout in zip(self.hidden, self.dropouts, strict=True):
            inputs = dropout(dense(inputs), training=training)
        return self.last(inputs)


class ItemTower(keras.layers.Layer):
    """Encoded item features to content [..., d] and bias [..., 1]."""

    def __init__(self, config: Towers, features: Sequence[Feature], fitted: Statistics, randomness: Randomness) -> None:
        super().__init__()
        self._cosine, self._has_bias = config.similarity == "cosine", config.item_bias
        self._dimension = config.embedding_dim
        self.embed = Embed(features, fitted, randomness)
        self.top = _Top(config, config.embedding_dim + self._has_bias, randomness)

    def call(self, encoded: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """[n, d + 1]: content and bias, content of unit length when the similarity is cosine."""
        vectors = self.top(self.embed(encoded, training=training), training=training)
        content, bias = tf.split(tf.cast(vectors, tf.float32), [self._dimension, int(self._has_bias)], axis=-1)
        if not self._has_bias:
            bias = tf.zeros_like(content[..., :1])
        if self._cosine:
            content = tf.math.l2_normalize(content, axis=-1)
        return tf.concat([content, bias], axis=-1)


class QueryTower(keras.layers.Layer):
    """History, static features and request context to query vectors [R, M, d + 1 + t], or [R, M, m, d + 1 + t]."""

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
        self.changing = config.history.encoder != "none" or bool(context)  # whether one moment differs from another
        self.hide = StepHide(config.history.item_dropout, randomness) if config.history.item_dropout else None
        self.history = history_encoder(config.history, config.embedding_dim, randomness)
        self.static = Embed(static, fitted, randomness)
        self.context = Embed(context, fitted, randomness)
        self.top = _Top(config, config.query_vectors * config.embedding_dim, randomness)
        self.log_temperature = None
        if config.learn_temperature:
            start = keras.initializers.Constant(math.log(config.temperature))
            self.log_temperature = self.add_weight(
                "log_temperature", [], initializer=start, constraint=_sane, experimental_autocast=False
            )
        # a weight of 0.1 on every trend lets the towers start from what is popular now
        start = keras.initializers.Constant(0.1)
        self.trend = keras.layers.Dense(trends, kernel_initializer="zeros", bias_initializer=start) if trends else None

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
        """A vector (or m) per moment, or one alone: M is L + 1, or 1 with `last_only` and where moments do not differ.

        items [R, L, d], mask [R, L] bool, item_time [R, L] int64, moment [R, L + 1] int64,
        static {name: [R, ...]}, context {name: [R, M, ...]}; to [R, M, d + 1 + t] or [R, M, m, d + 1 + t].
        """
        moments, parts = 1 if last_only or not self.changing else tf.shape(moment)[1], []
        if self.history is not None:
            read = mask if self.hide is None else self.hide(mask, training=training)
            parts = [
                self.history(items, read, item_time, moment, training=training),
                _activity(mask, item_time, moment),
            ]
        if last_only:  # what the request adds is joined after the history, so earlier moments need no context
            parts = [part[:, -1:] for part in parts]
        if self._has_static:
            known = self.static(static, training=training)[:, None, :]
            parts.append(tf.tile(known, [1, moments, 1]))
        if self._has_context:
            parts.append(self.context(context, training=training))
        return self._vectors(parts, training)

    def _temperature(self) -> float | tf.Tensor:
        if self.log_temperature is None:
            return self._config.temperature
        return tf.exp(tf.cast(self.log_temperature, tf.float32))

    def _vectors(self, parts: list[tf.Tensor], training: bool) -> tf.Tensor:
        joined = tf.concat([tf.cast(part, self.compute_dtype) for part in parts], axis=-1)
        # in float32 from here on, whatever the layers compute in
        wish = tf.cast(self.top(joined, training=training), tf.float32)
        trend = tf.cast(joined[..., :0] if self.trend is None else self.trend(joined), tf.float32)
        # a transformer and a GRU end in what is wanted next, which the rest amends
        wanted = tf.cast(parts[0], tf.float32) if self._config.history.encoder in ("transformer", "gru") else None
        several = self._config.query_vectors
        if several > 1:
            rows, moments = tf.shape(wish)[0], tf.shape(wish)[1]
            wish = tf.reshape(wish, [rows, moments, several, self._config.embedding_dim])
            trend = tf.tile(trend[:, :, None], [1, 1, several, 1])
            wanted = None if wanted is None else wanted[:, :, None]
        if wanted is not None:
            wish += wanted
        if self._config.similarity == "cosine":
            wish = tf.math.l2_normalize(wish, axis=-1)
        wish /= self._temperature()
        return tf.concat([wish, tf.ones_like(wish[..., :1]), trend], axis=-1)


def _sane(log_temperature: tf.Tensor) -> tf.Tensor:
    """Kept from running away, as scores of one item alone would have it (CLIP, Radford et al., 2021, does the same)."""
    return tf.clip_by_value(log_temperature, math.log(0.01), math.log(10.0))


def _activity(mask: tf.Tensor, item_time: tf.Tensor, moment: tf.Tensor) -> tf.Tensor:
    """Log of how many items a moment can see and log of the time since the latest, [R, L + 1, 2]."""
    count = tf.pad(tf.cumsum(tf.cast(mask, tf.float32), axis=1), [[0, 0], [1, 0]])
    since = tf.cast(tf.maximum(moment[:, 1:] - item_time, 0), tf.float32)
    since = tf.pad(tf.where(mask, tf.math.log1p(since) / 10.0, 0.0), [[0, 0], [1, 0]])
    return tf.stack([tf.math.log1p(count) / 4.0, since], axis=-1)

"""The ranker: DCN-v2 over both sides of each candidate (Wang et al. 2021), trained listwise.

It has embeddings of its own and never reads the towers' coordinates, which turn when the towers are refitted:
of retrieval it knows only the score, standardised within the list, and the rank. Nor does it read which item one is,
where items have other features: the window that it learns from is short, and by ids it would learn what was popular in
it, which no query held out of that window can tell. Its item side depends on the item alone, so it is computed once for
the catalogue and looked up when serving.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from configs.schema import Config
from configs.stages import History
from towers.backend import keras, tf
from towers.cross import Crosses
from towers.dropout import Randomness, StepDropout
from towers.features import Embed, Statistics
from towers.history import MeanHistory
from towers.losses import MASKED
from towers.retrieval import under

_WIDTH = 32


class Ranker(keras.Model):
    """Scores the candidates of a request.

    Its output starts as the retrieval score itself, so that an unfitted ranker keeps retrieval's order.
    """

    def __init__(self, config: Config, fitted: Statistics) -> None:
        super().__init__()
        self.randomness = Randomness(config.seed + 1)
        static, context = config.on("queries"), config.on("events")
        self._has_static, self._has_context = bool(static), bool(context)
        items, own = config.on("items"), config.own_ids
        self.items = Embed([one for one in items if one not in own] or items, fitted, self.randomness)
        self.static = Embed(static, fitted, self.randomness)
        self.context = Embed(context, fitted, self.randomness)
        self.item_side = keras.layers.Dense(_WIDTH, activation="gelu")
        self.query_side = keras.layers.Dense(_WIDTH, activation="gelu")
        self.history = MeanHistory(History(length=config.towers.history.length), _WIDTH, self.randomness)
        self.crosses = Crosses(config.ranker.cross_layers)
        self.hidden = [keras.layers.Dense(width, activation="gelu") for width in config.ranker.hidden]
        self.dropouts = [StepDropout(config.ranker.dropout, self.randomness) for _ in self.hidden]
        self.last = keras.layers.Dense(1, kernel_initializer="zeros")

    def set_known(self, items: Mapping[str, np.ndarray], queries: Mapping[str, np.ndarray]) -> None:
        """Tell the id features how often each id occurs in what is fitted; {name: counts by index}."""
        self.items.set_known(items)
        self.static.set_known(queries)

    def item_vectors(self, encoded: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """The item side, [n, 32]."""
        return self.item_side(self.items(encoded, training=training))

    def score(
        self,
        batch: Mapping[str, tf.Tensor],
        history: tf.Tensor,
        candidates: tf.Tensor,
        trend: tf.Tensor,
        retrieval: tf.Tensor,
        training: bool = False,
    ) -> tf.Tensor:
        """Scores [R, K] of candidates.

        batch holds mask, item_time, moment and encoded features as for `TwoTower.query_vectors`; history
        [R, L, 32] and candidates [R, K, 32] are item sides; trend [R, K, t] trend columns of the candidates;
        retrieval [R, K] scores, best first, `MASKED` where the list is short.
        """
        query = self._query(batch, history, training)
        query = tf.tile(query[:, None], [1, tf.shape(candidates)[1], 1])
        relative = standardise(retrieval)
        rank = tf.math.log1p(tf.range(tf.shape(retrieval)[1], dtype=tf.float32))[None, :] / 4.0
        rank = tf.tile(rank, [tf.shape(retrieval)[0], 1])
        lists = tf.stack([relative, rank], axis=-1)
        crossed = self.crosses(tf.concat([query, candidates, query * candidates, trend / 4.0, lists], axis=-1))
        for dense, dropout in zip(self.hidden, self.dropouts, strict=True):
            crossed = dropout(dense(crossed), training=training)
        return tf.where(retrieval > MASKED, relative + self.last(crossed)[..., 0], MASKED)

    def _query(self, batch: Mapping[str, tf.Tensor], history: tf.Tensor, training: bool) -> tf.Tensor:
        read = self.history(history, batch["mask"], batch["item_time"], batch["moment"])[:, -1]
        parts = [read]
        if self._has_static:
            parts.append(self.static(under("static/", batch), training=training))
        if self._has_context:
            parts.append(self.context(under("context/", batch), training=training))
        return self.query_side(tf.concat(parts, axis=-1))


def standardise(scores: tf.Tensor) -> tf.Tensor:
    """Scores [R, K] to mean 0 and deviation 1 within each list; 0 where masked."""
    valid = tf.cast(scores > MASKED, tf.float32)
    count = tf.maximum(tf.reduce_sum(valid, axis=1, keepdims=True), 1.0)
    visible = tf.where(scores > MASKED, scores, 0.0)
    mean = tf.reduce_sum(visible, axis=1, keepdims=True) / count
    centred = (visible - mean) * valid
    deviation = tf.sqrt(tf.reduce_sum(centred**2, axis=1, keepdims=True) / count)
    return centred / tf.maximum(deviation, 1e-6)


def listwise_loss(scores: tf.Tensor, relevant: tf.Tensor) -> tf.Tensor:
    """Softmax cross-entropy of each list against its relevant candidates, mean over lists that have any.

    scores [R, K]; relevant [R, K], 1 for what was taken and 0 for the rest.
    """
    log_share = tf.nn.log_softmax(scores)
    count = tf.reduce_sum(relevant, axis=1)
    losses = tf.math.divide_no_nan(-tf.reduce_sum(relevant * log_share, axis=1), count)
    return tf.math.divide_no_nan(tf.reduce_sum(losses), tf.reduce_sum(tf.cast(count > 0, tf.float32)))


def relevance(candidates: np.ndarray, target_row: np.ndarray, target_item: np.ndarray, items: int) -> np.ndarray:
    """Which of the candidates [R, K] are targets, [R, K] float32; targets as pairs (row, item)."""
    key = np.arange(len(candidates))[:, None] * np.int64(items) + candidates
    taken = np.isin(key, target_row * np.int64(items) + target_item) & (candidates >= 0)
    return taken.astype(np.float32)

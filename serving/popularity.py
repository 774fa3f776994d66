"""Popularity as a bundle: the same inputs and list outputs as the recommender, for when popularity wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from configs.schema import Config
from serving.filters import Filters, Texts
from serving.ids import ItemIds
from serving.likes import Likes
from serving.recommender import Tensors, concrete, listed, tracked
from serving.requests import rows_of
from serving.sets import contains
from serving.signatures import bounded, list_specs, recommend_specs
from towers.backend import take, tf
from towers.lookup import Lookup


class PopularityRecommender(tf.Module):
    """Answers with the most popular items of the query's segment that it has not seen, those that it likes first.

    ids [N]; scores [S + 1, N], one row per segment and the overall scores last, -inf for what must not be listed;
    segments [S], their values; likes, what can be said to be liked of the items; filters, their values by filter, [N].
    """

    def __init__(
        self,
        config: Config,
        ids: Sequence[str],
        scores: np.ndarray,
        segments: Sequence[str],
        likes: Likes,
        filters: Mapping[str, Texts] | None = None,
    ) -> None:
        super().__init__()
        self._config = config
        self.ids, self.filters = ItemIds(ids), Filters(filters or {})
        self._segment = Lookup(segments, "segments")
        order = np.argsort(-scores, axis=1, kind="stable")
        self.order = tf.Variable(order.astype(np.int32), trainable=False)
        self.scores = tf.Variable(np.take_along_axis(scores, order, axis=1).astype(np.float32), trainable=False)
        self._likes = Lookup(likes.names, "likes")
        self._names = len(likes.names)
        self.of_items = tf.Variable(likes.of_items, trainable=False)
        self.resources = tracked([self._segment, self._likes])

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """The functions to export: a list, and the same list as candidates. Both take what the model's take, read or
        not, so that a client need not know which policy is served."""
        return {
            "recommend": concrete(self.recommend, recommend_specs(self._config)),
            "retrieve": concrete(self.retrieve, list_specs(self._config)),
        }

    def recommend(self, inputs: Mapping[str, tf.Tensor]) -> Tensors:
        """items, scores and filled (all True: every place is popularity's), each [B, max k], and count [B]."""
        inputs = bounded(inputs, self._config)
        rows, scores = self._popular(inputs)
        return listed(self.ids, rows, scores, inputs["k"], rows >= 0)

    def retrieve(self, inputs: Mapping[str, tf.Tensor]) -> Tensors:
        """items and scores [B, max k], count [B]."""
        inputs = bounded(inputs, self._config)
        rows, scores = self._popular(inputs)
        return listed(self.ids, rows, scores, inputs["k"])

    def _popular(self, inputs: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        seen = inputs["exclude"]
        if self._config.data.seen_items == "filter":
            seen = tf.concat([inputs["history"], seen], axis=1)
        seen, wanted = self.ids.rows(seen), self.filters.read(inputs)
        k, segment = tf.maximum(tf.reduce_max(inputs["k"]), 1), self._row(inputs)
        # what a filter leaves may lie anywhere in the order
        asks = tf.reduce_any([False, *(tf.reduce_any(codes >= 0) for codes in wanted.values())])
        needed = tf.where(asks, tf.shape(self.order)[1], k + tf.shape(seen)[1])
        rows, scores = tf.cond(
            tf.shape(inputs["likes"])[1] > 0,
            lambda: self._liked_first(inputs["likes"], segment, needed),
            lambda: tuple(tf.gather(table[:, :needed], segment) for table in (self.order, self.scores)),
        )
        barred = contains(seen, rows) | tf.math.is_inf(scores) | ~self.filters.allow(rows, wanted)
        rows = tf.where(barred, -1, rows)
        order = tf.argsort(tf.cast(rows < 0, tf.int32), axis=1, stable=True)[:, :k]
        rows, scores = (tf.gather(value, order, axis=1, batch_dims=1) for value in (rows, scores))
        missing = [[0, 0], [0, k - tf.shape(rows)[1]]]
        return tf.pad(rows, missing, constant_values=-1), tf.pad(scores, missing)

    def _liked_first(self, likes: tf.Tensor, segment: tf.Tensor, needed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Rows and scores [B, needed], by how many of `likes` [B, n] an item matches and then by popularity."""
        rows, scores = take(self.order, segment), take(self.scores, segment)
        name = rows_of(self._likes, likes)
        said = tf.reduce_sum(tf.one_hot(name, self._names + 1, dtype=tf.int32), axis=1)  # the last names nothing
        of_items = tf.gather(tf.where(self.of_items >= 0, self.of_items, self._names), rows)
        matches = tf.reduce_sum(tf.minimum(tf.gather(said, of_items, batch_dims=1), 1), axis=2)
        matches = tf.where(tf.math.is_inf(scores), 0, matches)  # what must not be listed takes no place
        best = tf.argsort(-matches, axis=1, stable=True)[:, :needed]
        return tf.gather(rows, best, batch_dims=1), tf.gather(scores, best, batch_dims=1)

    def _row(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Row of `scores` for each request, [B]; the last where the segment is missing or unknown."""
        last = tf.shape(self.order)[0] - 1
        if self._config.data.segment is None or self.order.shape[0] == 1:
            return tf.fill([tf.shape(inputs["time"])[0]], last)
        known = rows_of(self._segment, inputs[self._config.data.segment])
        return tf.where(known >= 0, known, last)

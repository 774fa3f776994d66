"""The retrieval model: both towers over one catalogue, and the loss they are fitted with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from configs.schema import Config
from configs.stages import Train
from towers.backend import keras, tf, traced
from towers.comparison import comparable, trend_of_own, trend_scores
from towers.dropout import Randomness
from towers.features import IdEmbedding, Statistics
from towers.lookup import FIRST_KNOWN, UNKNOWN
from towers.losses import CandidateSoftmax, GeneralisedBCE
from towers.negatives import Columns, Sampler, Sources
from towers.tower import ItemTower, QueryTower
from towers.trends import Trends

_SEEN = 2  # events of an item in the log from which on histories know it by its id


@dataclass(frozen=True)
class Log:
    """What the loss must know of the training log besides the batch.

    trends: point-in-time popularity of every item; listed: [N] int64, the moment from which on an item
    may be recommended, None where that is before all moments; sources: what negatives are drawn by.
    """

    trends: Trends
    listed: np.ndarray | tf.Tensor | None
    sources: Sources

    def on_device(self) -> Log:
        """The same with tensors: traced into a step as arrays, tables would be copied into its graph."""
        return Log(self.trends.on_device(), None if self.listed is None else tf.constant(self.listed), self.sources)


class TwoTower(keras.Model):
    """Query and item tower over an encoded catalogue of N items.

    `catalogue` holds the encoded item features, {name: [N, ...]}; `trends` is the number t of trend columns.
    """

    def __init__(self, config: Config, fitted: Statistics, catalogue: Mapping[str, np.ndarray], trends: int) -> None:
        super().__init__()
        self.randomness = Randomness(config.seed)
        self.dimension = config.towers.embedding_dim
        self.items = ItemTower(config.towers, config.on("items"), fitted, self.randomness)
        static, context = config.on("queries"), config.on("events")
        self.queries = QueryTower(config.towers, static, context, fitted, trends, self.randomness)
        self.size = len(next(iter(catalogue.values())))
        self._catalogue = {name: tf.constant(column) for name, column in catalogue.items()}
        self.read_ids = None
        if config.towers.history.items == "id":
            self.read_ids = IdEmbedding(self.size + FIRST_KNOWN, self.dimension, 0.0, self.randomness)
        negatives, self.sampler = config.train.negatives, None
        if not negatives.covers(self.size):
            self.sampler = Sampler(negatives, self.size, self.dimension + 1, self.randomness)
        self._compare = _objective(config.train, self.size)
        self._own_ids = [feature.name for feature in config.own_ids]
        has_content = len(self._own_ids) < len(config.on("items"))
        self._cold, self._cold_weight = config.train.cold_items if has_content else 0.0, config.train.cold_weight
        self._cold_stream = self.randomness.stream()

    def set_known(self, items: Mapping[str, np.ndarray], queries: Mapping[str, np.ndarray], rows: np.ndarray) -> None:
        """Tell how often each id occurs in the log to be fitted: {name: counts by index}, and [N] by catalogue row."""
        self.items.embed.set_known(items)
        self.queries.static.set_known(queries)
        if self.read_ids is not None:
            self.read_ids.set_known(np.pad(rows, (FIRST_KNOWN, 0)), _SEEN)

    def item_vectors(
        self, rows: tf.Tensor | None = None, training: bool = False, cold: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Static item vectors (content and bias) of the named rows, or of all, [n, d + 1]; cold [N] bool: whose own
        ids are to be unknown."""
        encoded = dict(self._catalogue)
        if rows is not None:
            encoded = {name: tf.gather(column, rows) for name, column in encoded.items()}
            cold = None if cold is None else tf.gather(cold, rows)
        if cold is not None:
            encoded |= {name: _hidden(encoded[name], cold) for name in self._own_ids}
        return self.items(encoded, training=training)

    def history_tokens(self, rows: tf.Tensor, vectors: tf.Tensor, cold: tf.Tensor | None = None) -> tf.Tensor:
        """What histories read of items, [..., d]: their content, or an embedding of their ids.

        rows [...] of the catalogue, and `vectors` [..., d + 1], what `item_vectors` says of them; cold [N] bool: whose
        ids are to be unknown here too.
        """
        if self.read_ids is None:
            return vectors[..., : self.dimension]
        ids = tf.where(rows < self.size, rows + FIRST_KNOWN, UNKNOWN)  # a catalogue may have grown since
        return self.read_ids(ids if cold is None else _hidden(ids, tf.gather(cold, rows)))

    @property
    def scoring(self) -> list[keras.layers.Layer]:
        """The layers that vectors are made by: all of the model but what training alone needs."""
        return [self.items, self.queries, *([] if self.read_ids is None else [self.read_ids])]

    def query_vectors(self, batch: Mapping[str, tf.Tensor], history: tf.Tensor) -> tf.Tensor:
        """One query vector per request, [R, d + 1 + t], or several, [R, m, d + 1 + t].

        history [R, L, d] are the `history_tokens` of the items read; batch holds mask, item_time, moment (its last
        column is the request's time) and the encoded features under "static/NAME" and "context/NAME", each [R, ...].
        """
        context = {name: value[:, None] for name, value in under("context/", batch).items()}
        return self._query(batch, history, context, last_only=True)[:, 0]

    @cached_property  # which is not tracked: no graph of it belongs to a checkpoint
    def embed(self) -> Any:
        """`query_vectors` of a batch as one graph, for as long as the model lives; histories are of items whose
        `item_vectors` are the second argument, [N, d + 1]."""

        def embed(batch: Mapping[str, tf.Tensor], items: tf.Tensor) -> tf.Tensor:
            return self.query_vectors(batch, self.history_tokens(batch["item"], tf.gather(items, batch["item"])))

        return traced(embed, reduce_retracing=True)

    def _query(
        self,
        batch: Mapping[str, tf.Tensor],
        history: tf.Tensor,
        context: Mapping[str, tf.Tensor],
        last_only: bool = False,
        training: bool = False,
    ) -> tf.Tensor:
        return self.queries(
            history,
            batch["mask"],
            batch["item_time"],
            batch["moment"],
            under("static/", batch),
            context,
            last_only=last_only,
            training=training,
        )

    def loss(self, batch: Mapping[str, tf.Tensor], log: Log) -> tf.Tensor:
        """Mean loss of a training batch, as `train.loss` says; with a cross-batch memory, its positives are remembered.

        Besides the inputs of `query_vectors` (context here [R, L + 1, ...], one per moment), batch holds
        query [R] (rows), item [R, L] (rows read), target [R, L + 1] (row to be predicted), weight [R, L + 1] (0 where
        there is nothing to predict; nor is a target that is not listed yet), bucket [R, L + 1] (trend bucket of the
        moment), and in seen [n, 2] (row of the batch, item) all known positives.
        """
        target, weight, bucket, moment = (
            tf.reshape(batch[name], [-1]) for name in ("target", "weight", "bucket", "moment")
        )
        # learned from, items to come, which are never among the negatives, would make all new items look wanted
        if log.listed is not None:
            weight = tf.where(tf.gather(log.listed, target) <= moment, weight, tf.zeros_like(weight))
        columns = self.sampler and self.sampler.draw(target, weight > 0, batch["query"], log.sources)
        asked, cold, cold_target = weight > 0, self._seen_as_cold(), None
        if cold is not None:
            cold_target = tf.gather(cold, target)
            weight = tf.where(cold_target, self._cold_weight * weight, weight)
        vectors, positives, history = self._gather(columns, target, batch["item"], cold)
        queries = self._query(batch, history, under("context/", batch), training=True)
        if self.sampler:  # what an item is to a later step it is not while it is seen as cold
            self.sampler.remember(target, positives, asked if cold_target is None else asked & ~cold_target)
        if self._alike(log):
            positives = tf.reshape(positives, [tf.shape(queries)[0], -1, self.dimension + 1])
        elif not self.queries.changing:
            queries = tf.repeat(queries, tf.shape(batch["moment"])[1], axis=1)
        queries = tf.reshape(queries, tf.concat([[-1], tf.shape(queries)[2:]], axis=0))
        trend, items = self._trend_weights(queries), columns and columns.items
        cold_columns = cold if cold is None or columns is None else columns.cold(cold)
        return self._compare(
            queries[..., : self.dimension + 1],
            positives,
            vectors,
            sample_weight=weight,
            score_mask=self._comparable(columns, batch, log),
            score_offset=trend_scores(trend, bucket, items, log.trends, cold_columns),
            positive_offset=trend_of_own(trend, bucket, target, log.trends, cold_target),
            **_logq(columns),
        )

    def _seen_as_cold(self) -> tf.Tensor | None:
        """Items that this step sees as just listed, wherever they occur in it, [N] bool: by their content alone.

        As in DropoutNet (Volkovs, Yu and Poutanen, 2017), which hides what is known of an item by its events.
        """
        if self._cold == 0:
            return None
        return self.randomness.draw(self._cold_stream, tf.constant([self.size])) < self._cold

    def _alike(self, log: Log) -> bool:
        """Whether all moments of a row score all candidates alike, so that a row is compared once for all of them."""
        return not self.queries.changing and log.listed is None and log.trends.columns == 0

    def _gather(
        self, columns: Columns | None, target: tf.Tensor, read: tf.Tensor, cold: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Vectors of the columns and of the targets, and tokens of the items read, each item computed once."""
        if columns is None:
            vectors = self.item_vectors(training=True, cold=cold)
            return vectors, tf.gather(vectors, target), self.history_tokens(read, tf.gather(vectors, read), cold)
        reads_content = self.read_ids is None and self.queries.history is not None
        needed = [columns.fresh, target, *([tf.reshape(read, [-1])] if reads_content else [])]
        unique, where = tf.unique(tf.concat(needed, axis=0))
        vectors = self.item_vectors(unique, training=True, cold=cold)
        fresh, asked = tf.size(columns.fresh), tf.size(columns.fresh) + tf.size(target)
        history = tf.gather(vectors, tf.reshape(where[asked:], tf.shape(read))) if reads_content else vectors
        shared = columns.with_remembered(tf.gather(vectors, where[:fresh]))
        return shared, tf.gather(vectors, where[fresh:asked]), self.history_tokens(read, history, cold)

    def _comparable(self, columns: Columns | None, batch: Mapping[str, tf.Tensor], log: Log) -> tf.Tensor:
        """[Q, C]: whether a candidate is a fair negative of a moment."""
        items, moment = columns and columns.items, batch["moment"]
        fair = comparable(items, batch["seen"], log.listed, moment[:, :1] if self._alike(log) else moment, self.size)
        return fair if columns is None else fair & columns.there

    def _trend_weights(self, queries: tf.Tensor) -> tf.Tensor:
        """[Q, t], which all vectors of a query share."""
        weights = queries[..., self.dimension + 1 :]
        return weights if weights.shape.rank == 2 else weights[:, 0]


def _objective(train: Train, items: int) -> CandidateSoftmax | GeneralisedBCE:
    """What positives and candidates are compared by, over a catalogue of so many items."""
    if train.loss == "softmax":
        return CandidateSoftmax()
    return GeneralisedBCE(train.gbce_t, train.negatives.uniform, items)


def _logq(columns: Columns | None) -> dict[str, tf.Tensor]:
    """The arguments of the softmax that correct for how columns were drawn; none without correction."""
    if columns is None or columns.log_probability is None:
        return {}
    return {
        "candidate_log_probability": columns.log_probability,
        "positive_log_probability": columns.positive_log_probability,
    }


def _hidden(ids: tf.Tensor, hide: tf.Tensor) -> tf.Tensor:
    """Indices of ids, unknown where `hide` says so."""
    return tf.where(hide, tf.cast(UNKNOWN, ids.dtype), ids)


def under(prefix: str, batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Entries of `batch` below a prefix, without it."""
    return {key.removeprefix(prefix): value for key, value in batch.items() if key.startswith(prefix)}

"""The retrieval model: both towers over one catalogue, and the loss they are fitted with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from configs.schema import Config
from towers.backend import keras, tf
from towers.dropout import Randomness
from towers.features import Statistics
from towers.losses import CandidateSoftmax
from towers.negatives import Columns, choose_columns
from towers.tower import ItemTower, QueryTower


@dataclass(frozen=True)
class Log:
    """What the loss must know of the training log besides the batch.

    trend: [buckets, N, t] point-in-time popularity of every item; first_bucket: [N] int32, the bucket in which an
    item enters the catalogue; frequency: [N], share of each item among the training targets.
    """

    trend: np.ndarray | tf.Tensor
    first_bucket: np.ndarray | tf.Tensor
    frequency: np.ndarray

    def on_device(self) -> Log:
        """The same with tensors: traced into a step as arrays, tables would be copied into its graph."""
        return Log(tf.constant(self.trend), tf.constant(self.first_bucket), self.frequency)


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
        self._negatives = config.train.negatives
        self._softmax = CandidateSoftmax()

    def set_known(self, items: Mapping[str, np.ndarray], queries: Mapping[str, np.ndarray]) -> None:
        """Tell the id features how often each id occurs in the log to be fitted; {name: counts by index}."""
        self.items.embed.set_known(items)
        self.queries.static.set_known(queries)

    def item_vectors(self, rows: tf.Tensor | None = None, training: bool = False) -> tf.Tensor:
        """Static item vectors (content and bias) of the named rows, or of all, [n, d + 1]."""
        encoded = self._catalogue
        if rows is not None:
            encoded = {name: tf.gather(column, rows) for name, column in encoded.items()}
        return self.items(encoded, training=training)

    def query_vectors(self, batch: Mapping[str, tf.Tensor], history: tf.Tensor) -> tf.Tensor:
        """One query vector per request, [R, d + 1 + t].

        history [R, L, d] is the content of the items read; batch holds mask, item_time, moment (its last column
        is the request's time) and the encoded features under "static/NAME" and "context/NAME", each [R, ...].
        """
        context = {name: value[:, None] for name, value in under("context/", batch).items()}
        return self._query(batch, history, context, last_only=True)[:, 0]

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
        """Mean softmax loss of a training batch.

        Besides the inputs of `query_vectors` (context here [R, L + 1, ...], one per moment), batch holds
        item [R, L] (rows read), target [R, L + 1] (row to be predicted), weight [R, L + 1] (0 where there is
        nothing to predict), bucket [R, L + 1] (trend bucket of the moment), seen [n, 2] (row of the batch, item)
        all known positives, negatives [U] rows drawn evenly.
        """
        valid = batch["weight"] > 0
        target = tf.boolean_mask(batch["target"], valid)
        row = tf.cast(tf.where(valid)[:, 0], tf.int32)
        columns = choose_columns(target, batch["negatives"], self._negatives, log.frequency)
        vectors, history = self._gather(columns, batch["item"])
        queries = tf.boolean_mask(self._query(batch, history, under("context/", batch), training=True), valid)
        bucket = tf.boolean_mask(batch["bucket"], valid)
        return self._softmax(
            queries[:, : self.dimension + 1],
            vectors,
            columns.positive,
            sample_weight=tf.boolean_mask(batch["weight"], valid),
            candidate_log_probability=columns.log_probability,
            score_mask=self._comparable(columns, row, bucket, batch, log),
            score_offset=self._trend_scores(queries[:, self.dimension + 1 :], bucket, columns, log),
            positive_copies=columns.copies(target),
        )

    def _gather(self, columns: Columns, read: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Vectors of the candidate columns and content of the items read, each item computed once."""
        if columns.items is None:
            vectors = self.item_vectors(training=True)
            return vectors, tf.gather(vectors[:, : self.dimension], read)
        needed = tf.concat([columns.items, tf.reshape(read, [-1])], axis=0)
        unique, where = tf.unique(needed)
        vectors = self.item_vectors(unique, training=True)
        split = tf.shape(columns.items)[0]
        history = tf.gather(vectors[:, : self.dimension], tf.reshape(where[split:], tf.shape(read)))
        return tf.gather(vectors, where[:split]), history

    def _comparable(
        self,
        columns: Columns,
        row: tf.Tensor,
        bucket: tf.Tensor,
        batch: Mapping[str, tf.Tensor],
        log: Log,
    ) -> tf.Tensor:
        """[Q, C]: False for known positives of the row's query, its target among them, and items not out yet."""
        rows = tf.shape(batch["mask"])[0]
        if columns.items is None:
            seen, first = _marked(batch["seen"], rows, self.size), log.first_bucket
        else:
            seen = self._seen_among(columns.items, batch["seen"], rows)
            first = tf.gather(log.first_bucket, columns.items)
        known = tf.gather(seen, row)
        return ~known & (first[None, :] <= bucket[:, None])

    def _seen_among(self, items: tf.Tensor, seen: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """Which candidate columns each row has seen, [rows, C], without a table of rows x catalogue."""
        unique, column_of = tf.unique(items)
        place = tf.scatter_nd(unique[:, None], tf.range(1, tf.size(unique) + 1), [self.size])
        column = tf.gather(place, seen[:, 1]) - 1
        pairs = tf.boolean_mask(tf.stack([seen[:, 0], column], axis=1), column >= 0)
        return tf.gather(_marked(pairs, rows, tf.size(unique)), column_of, axis=1)

    def _trend_scores(self, weights: tf.Tensor, bucket: tf.Tensor, columns: Columns, log: Log) -> tf.Tensor:
        """[Q, C]: what each candidate's trend at the query's own moment adds to its score."""
        total = tf.zeros([])
        for feature in range(log.trend.shape[2]):
            table = log.trend[:, :, feature]
            if columns.items is not None:
                table = tf.gather(table, columns.items, axis=1)
            total += weights[:, feature, None] * tf.gather(table, bucket)
        return total


def _marked(pairs: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """[rows, columns] bool, True at the (row, column) `pairs` [n, 2]."""
    return tf.scatter_nd(pairs, tf.ones(tf.shape(pairs)[0]), [rows, columns]) > 0


def under(prefix: str, batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Entries of `batch` below a prefix, without it."""
    return {key.removeprefix(prefix): value for key, value in batch.items() if key.startswith(prefix)}

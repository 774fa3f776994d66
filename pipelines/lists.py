"""Lists offline: candidates rescored by the ranker and chosen by the policy, over whole request sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from configs.schema import Config
from pipelines.encoded import Encoded
from pipelines.tables import Candidates, Requests
from pipelines.vectors import request_inputs
from serving.policies import mmr
from towers.backend import tf, traced
from towers.losses import MASKED
from towers.ranker import Ranker


@dataclass(frozen=True)
class Lists:
    """Requests with their candidates: what the ranker reads, and what it should put first.

    trend: [N, t] trend columns as of the moment the candidates were retrieved.
    """

    requests: Requests
    candidates: Candidates
    trend: np.ndarray

    def take(self, rows: np.ndarray) -> Lists:
        """The named requests."""
        found = Candidates(self.candidates.items[rows], self.candidates.scores[rows], self.candidates.source)
        return Lists(self.requests.take(rows), found, self.trend)


class RankScorer:
    """A ranker applied to whole request sets, offline."""

    def __init__(self, config: Config, ranker: Ranker, encoded: Encoded) -> None:
        self.config, self.ranker, self.encoded = config, ranker, encoded
        self._catalogue = {name: tf.constant(column) for name, column in encoded.items.items()}
        self._score = traced(self.score_batch, reduce_retracing=True)

    def inputs(self, lists: Lists) -> dict[str, np.ndarray]:
        """Everything the ranker reads of `lists`, as arrays with the requests first."""
        batch = request_inputs(lists.requests, self.config.towers.history.length)
        items = lists.candidates.items
        return (
            batch
            | self.encoded.requests(lists.requests)
            | {
                "candidates": np.maximum(items, 0),
                "trend": lists.trend[np.maximum(items, 0)],
                "retrieval": np.where(items >= 0, lists.candidates.scores, MASKED).astype(np.float32),
            }
        )

    def score_batch(self, batch: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Scores [R, K]; in training the item side is computed for the items of the batch alone."""
        needed = tf.concat([tf.reshape(batch["item"], [-1]), tf.reshape(batch["candidates"], [-1])], axis=0)
        unique, where = tf.unique(needed)
        encoded = {name: tf.gather(column, unique) for name, column in self._catalogue.items()}
        vectors = self.ranker.item_vectors(encoded, training=training)
        split = tf.size(batch["item"])
        history = tf.gather(vectors, tf.reshape(where[:split], tf.shape(batch["item"])))
        candidates = tf.gather(vectors, tf.reshape(where[split:], tf.shape(batch["candidates"])))
        return self.ranker.score(batch, history, candidates, batch["trend"], batch["retrieval"], training=training)

    def score(self, lists: Lists, block: int = 256) -> np.ndarray:
        """Scores of all candidates, [R, K]."""
        scores = []
        for start in range(0, len(lists.requests), block):
            part = lists.take(np.arange(start, min(start + block, len(lists.requests))))
            scores.append(self._score({k: tf.constant(v) for k, v in self.inputs(part).items()}).numpy())
        return np.concatenate(scores)

    def item_side(self) -> np.ndarray:
        """The ranker's vectors of the whole catalogue, [N, 32]."""
        return self.ranker.item_vectors(self._catalogue).numpy()


def ranked(candidates: Candidates, scores: np.ndarray) -> Candidates:
    """The same candidates in the order of new scores."""
    order = np.argsort(-scores, axis=1, kind="stable")
    return Candidates(
        np.take_along_axis(candidates.items, order, axis=1), np.take_along_axis(scores, order, axis=1), "ranker"
    )


def reranked(config: Config, found: Candidates, content: np.ndarray, k: int) -> Candidates:
    """The list of k that MMR chooses from the best `rerank.pool`; content [N, d] are the towers' item vectors."""
    pool = max(k, config.rerank.pool)
    items, scores = found.items[:, :pool], found.scores[:, :pool]
    unit = content / np.maximum(np.linalg.norm(content, axis=1, keepdims=True), 1e-12)
    blocks = []
    for start in range(0, len(items), 512):
        part = slice(start, start + 512)
        order = mmr(
            tf.constant(scores[part]),
            tf.constant(unit[np.maximum(items[part], 0)]),
            tf.fill([len(items[part])], config.rerank.relevance),
            tf.constant(min(k, items.shape[1])),
        )
        blocks.append(order.numpy())
    order = np.concatenate(blocks)
    return Candidates(np.take_along_axis(items, order, axis=1), np.take_along_axis(scores, order, axis=1), "list")

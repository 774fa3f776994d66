"""The whole recommender as one graph: retrieve, filter, rank, rerank, behind the signatures of a bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from configs.schema import Config
from serving.filters import Filters, Texts
from serving.ids import ItemIds
from serving.likes import Likes
from serving.mixing import Mixing
from serving.policies import mmr
from serving.reasons import most_like
from serving.requests import Request, RequestReader
from serving.retrieval import Asked, Retrieval
from serving.searchers import Searcher
from serving.sets import contains
from serving.signatures import bounded, item_specs, list_specs, recommend_specs, request_specs, similar_specs
from towers.backend import keras, shared, sharing, take, tf, traced
from towers.features import Preprocess, Statistics
from towers.losses import MASKED
from towers.maxsim import maxsim
from towers.ranker import Ranker
from towers.retrieval import TwoTower

_SPARE = 4  # items fetched for each one asked for, where the index's order is not the list's

Tensors = dict[str, tf.Tensor]


@dataclass(frozen=True)
class Catalogue:
    """What the graph must know of N items, by catalogue row.

    ids [N]; static [N, d + 1] and trend [N, t], the two parts of item vectors; ranker [N, h], the ranker's item
    side; indexed [M], rows in the searcher's order; popular [P], rows from most to least popular; likes, what can be
    said to be liked of them; mixed [N, s], the part of item vectors that `mixing.Mixing` weighs, [N, 0] without one;
    newcomer [t + s], the trend and mixed of an item that nobody took yet; filters, {filter: [N] values, several joined
    by "|"}.
    """

    ids: Sequence[str]
    static: np.ndarray
    trend: np.ndarray
    ranker: np.ndarray
    indexed: np.ndarray
    popular: np.ndarray
    likes: Likes
    mixed: np.ndarray
    newcomer: np.ndarray
    filters: Mapping[str, Texts] = field(default_factory=dict)


@dataclass(frozen=True)
class Models:
    """The fitted parts of one recommender, and the statistics of its features."""

    towers: TwoTower
    ranker: Ranker
    searcher: Searcher
    fitted: Statistics
    mixing: Mixing | None = None


class Recommender(tf.Module):
    """Stateless recommender over raw inputs; `signatures()` are what TF Serving calls."""

    def __init__(self, config: Config, models: Models, catalogue: Catalogue) -> None:
        super().__init__()
        self._config = config
        # Keras objects stay behind plain ones: exporting them would trace every layer once more
        self._models = models
        representatives = catalogue.likes.representatives(catalogue.popular)
        segments = models.mixing.segments if models.mixing else ()
        self.ids = ItemIds(catalogue.ids)
        self._reader = RequestReader(config, models.fitted, self.ids, catalogue.likes.names, representatives, segments)
        self._item_reader = Preprocess(config.on("items"), models.fitted)
        self._dimension = config.towers.embedding_dim
        self.retrieval = Retrieval(
            models.searcher,
            catalogue.indexed,
            catalogue.static,
            catalogue.trend,
            catalogue.mixed,
            Filters(catalogue.filters),
            catalogue.newcomer,
        )
        self.ranker_items = tf.Variable(catalogue.ranker, trainable=False, shape=[None, catalogue.ranker.shape[1]])
        self.popular = tf.Variable(catalogue.popular.astype(np.int32), trainable=False)
        self.resources = tracked([*self._reader.layers, self._item_reader, *models.towers.scoring, models.ranker])

    @property
    def searcher(self) -> Searcher:
        """What the index is searched by."""
        return self.retrieval.searcher

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """The functions to export, by signature name."""
        candidates = {"candidates": tf.TensorSpec([None, None], tf.string, "candidates")}
        specs = {
            self.recommend: recommend_specs(self._config),
            self.retrieve: list_specs(self._config),
            self.rank: request_specs(self._config) | candidates,
            self.embed_user: request_specs(self._config),
            self.embed_item: item_specs(self._config),
            self.similar_items: similar_specs(self._config),
        }
        with sharing():
            return {method.__name__: concrete(method, inputs) for method, inputs in specs.items()}

    def recommend(self, inputs: Mapping[str, tf.Tensor]) -> Tensors:
        """The list: items, scores and filled (by popularity, to fill a short list), each [B, max k], count [B].

        And why: retrieval [B, max k], the towers' score, and because [B, max k], the id of the item of the history
        that is most like the listed one, among those that the towers read; "" without a history.
        Inputs as `signatures.recommend_specs`; row b holds at most k[b] items, and places beyond count[b] hold "" and
        0.
        """
        inputs = bounded(inputs, self._config)
        request = self._reader.read(inputs)
        asked = self._asked(request, inputs)
        length = tf.maximum(tf.reduce_max(inputs["k"]), 1)
        pool, depth = self._config.rerank.pool, self._config.index.candidates
        retrieved, retrieval = self.retrieval.best(asked, tf.maximum(length, max(pool, depth)))
        # a neighbour in the batch that asks for more must not widen what this request is chosen from
        retrieval = first(retrieval, tf.maximum(inputs["k"], max(pool, depth)))
        scores, best = tf.math.top_k(self._rank(request, retrieved, retrieval), tf.maximum(length, pool))
        scores = first(scores, tf.maximum(inputs["k"], pool))
        rows = tf.where(scores > MASKED, tf.gather(retrieved, best, axis=1, batch_dims=1), -1)
        content = tf.math.l2_normalize(self._content(rows), axis=-1)
        order = mmr(scores, content, self._relevance(inputs["relevance"]), length)
        rows, scores = (tf.gather(value, order, axis=1, batch_dims=1) for value in (rows, scores))
        spare = self.popular[: self._spare(asked, length)]
        rows, filled = fill(rows, retrieved, spare, length, lambda other: self.retrieval.shown(other, asked))
        answer = listed(self.ids, rows, tf.where(filled, 0.0, scores), inputs["k"], filled)
        return answer | self._reasons(request, asked.query, cut(rows, inputs["k"]))

    def retrieve(self, inputs: Mapping[str, tf.Tensor]) -> Tensors:
        """The candidates of the towers alone, best first: items and scores [B, max k], count [B]."""
        inputs = bounded(inputs, self._config)
        asked = self._asked(self._reader.read(inputs), inputs)
        rows, scores = self.retrieval.best(asked, tf.maximum(tf.reduce_max(inputs["k"]), 1))
        return listed(self.ids, rows, scores, inputs["k"])

    def rank(self, inputs: Mapping[str, tf.Tensor]) -> Tensors:
        """Given candidates [B, C] (padded with ""), rescored: items and scores [B, C] best first, count [B]."""
        request = self._reader.read(inputs)
        rows = self.ids.rows(inputs["candidates"])
        retrieval = tf.where(rows >= 0, maxsim(self._query(request), self.retrieval.vectors(rows)), MASKED)
        order = tf.argsort(-retrieval, axis=1, stable=True)  # the ranker reads ranks, so lists come sorted
        rows, retrieval = (tf.gather(value, order, axis=1, batch_dims=1) for value in (rows, retrieval))
        scores = self._rank(request, rows, retrieval)
        rows = tf.where(scores > MASKED, rows, -1)
        order = tf.argsort(-scores, axis=1, stable=True)
        rows, scores = (tf.gather(value, order, axis=1, batch_dims=1) for value in (rows, scores))
        width = tf.fill([tf.shape(rows)[0]], tf.shape(rows)[1])
        return listed(self.ids, rows, scores, width)

    def embed_user(self, inputs: Mapping[str, tf.Tensor]) -> Tensors:
        """The query vector that is searched with, {"vector": [B, d + 1 + t + s]}, or several, [B, m, d + 1 + t + s];
        s is 0 where nothing is mixed in."""
        return {"vector": self._query(self._reader.read(inputs))}

    def embed_item(self, inputs: Mapping[str, tf.Tensor]) -> Tensors:
        """An item from raw features: vector [B, d + 1], the static part of what is searched, and ranker [B, h], what
        the ranker reads of it."""
        encoded = self._item_reader(inputs)
        return {"vector": self._models.towers.items(encoded), "ranker": self._models.ranker.item_vectors(encoded)}

    def similar_items(self, inputs: Mapping[str, tf.Tensor]) -> Tensors:
        """The items nearest to each given one, without itself: items and scores [B, max k], count [B].

        Near by the cosine of the towers' item embeddings, which know neither trends nor popularity. An unknown item has
        no neighbours. The index is searched by inner product, so more are fetched than asked for and put in order.
        """
        inputs = bounded(inputs, self._config)
        rows = self.ids.rows(inputs["item"])
        seen = tf.concat([rows[:, None], self.ids.rows(inputs["exclude"])], axis=1)
        k = tf.maximum(tf.reduce_max(inputs["k"]), 1)
        content = tf.math.l2_normalize(self._content(rows), axis=-1)
        rest = self.retrieval.delta_vectors.shape[1] - self._dimension
        asked = Asked(tf.pad(content, [[0, 0], [0, rest]]), seen, self.retrieval.filters.read(inputs))
        found, scores = self.retrieval.best(asked, _SPARE * k)
        others = tf.math.l2_normalize(self._content(found), axis=-1)
        allowed = (found >= 0) & (rows >= 0)[:, None]
        scores, best = tf.math.top_k(tf.where(allowed, tf.linalg.matvec(others, content), MASKED), k)
        found = tf.where(scores > MASKED, tf.gather(found, best, axis=1, batch_dims=1), -1)
        return listed(self.ids, found, scores, inputs["k"])

    def _query(self, request: Request) -> tf.Tensor:
        return self._query_of(request.batch, request.liked, request.read, request.segment)

    @shared
    def _query_of(self, batch: Tensors, liked: tf.Tensor, read: tf.Tensor, segment: tf.Tensor) -> tf.Tensor:
        def tokens(rows: tf.Tensor) -> tf.Tensor:
            return self._models.towers.history_tokens(rows, take(self.retrieval.static, rows))

        history = self._reader.history(tokens, batch["item"], liked)
        vectors, mixing = self._models.towers.query_vectors(batch, history), self._models.mixing
        return mixing.extend(vectors, read, segment) if mixing else vectors

    def _content(self, rows: tf.Tensor) -> tf.Tensor:
        return take(self.retrieval.static, tf.maximum(rows, 0))[..., : self._dimension]

    def _asked(self, request: Request, inputs: Mapping[str, tf.Tensor]) -> Asked:
        return Asked(self._query(request), request.seen, self.retrieval.filters.read(inputs))

    def _relevance(self, asked: tf.Tensor) -> tf.Tensor:
        """The weight of scores in each list, [B]: as asked, or the config's where that is below 0 or no number."""
        return tf.where(asked >= 0.0, tf.minimum(asked, 1.0), self._config.rerank.relevance)

    def _reasons(self, request: Request, query: tf.Tensor, rows: tf.Tensor) -> Tensors:
        """What speaks for the listed rows [B, n], -1 is padding."""
        vectors, there = self.retrieval.vectors(rows), rows >= 0
        retrieval, content = maxsim(query, vectors), vectors[..., : self._dimension]
        nearest = most_like(content, self._content(request.taken), request.taken)
        return {
            "retrieval": tf.where(there & tf.math.is_finite(retrieval), retrieval, 0.0),
            "because": self.ids.names(tf.where(there, nearest, -1)),
        }

    def _spare(self, asked: Asked, k: tf.Tensor) -> tf.Tensor:
        """How many of the most popular items it takes to fill a list of k."""
        filters = [tf.reduce_any(codes >= 0) for codes in asked.wanted.values()]
        few = 2 * k + tf.shape(asked.seen)[1]
        return tf.where(tf.reduce_any([False, *filters]), tf.size(self.popular), few)

    def _rank(self, request: Request, rows: tf.Tensor, retrieval: tf.Tensor) -> tf.Tensor:
        """The ranker's scores [B, K], `MASKED` where there is no candidate or a request beyond reason got no number."""
        known = tf.maximum(rows, 0)
        scores = self._models.ranker.score(
            request.batch,
            self._reader.history(partial(take, self.ranker_items), request.batch["item"], request.liked),
            take(self.ranker_items, known),
            take(self.retrieval.trend, known),
            retrieval,
        )
        return tf.where(tf.math.is_finite(scores), scores, MASKED)


def tracked(layers: Sequence[keras.layers.Layer]) -> list:
    """Variables and lookup tables inside `layers`: what an exported graph must carry along."""
    found: list = []
    for layer in layers:
        found += layer.variables
        for part in layer._flatten_layers():
            found += [part.lookup_table] if hasattr(part, "lookup_table") else []
    return found


def concrete(
    method: Callable[[Tensors], Tensors], specs: Mapping[str, tf.TensorSpec]
) -> tf.types.experimental.ConcreteFunction:
    """A signature whose inputs are the named tensors."""

    @traced(input_signature=list(specs.values()))
    def signature(*values):
        return method(dict(zip(specs, values, strict=True)))

    return signature.get_concrete_function()


def first(scores: tf.Tensor, n: tf.Tensor) -> tf.Tensor:
    """Scores [B, K] with all places but the first n [B] of each row `MASKED`."""
    return tf.where(tf.range(tf.shape(scores)[1])[None, :] < n[:, None], scores, MASKED)


def fill(
    rows: tf.Tensor, retrieved: tf.Tensor, popular: tf.Tensor, k: tf.Tensor, shown: Callable[[tf.Tensor], tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Fill short lists [B, k] (-1 at the end) with what of popular [P] may be shown, then with what was retrieved.

    retrieved [B, n] may be shown; to rows [B, k] and which of them were filled in, [B, k] bool. `shown` tells of rows
    [B, P].
    """

    def filled() -> tf.Tensor:
        spare = tf.tile(popular[None], [tf.shape(rows)[0], 1])
        spare = tf.where(shown(spare) & ~contains(rows, spare), spare, -1)
        left = tf.where(contains(rows, retrieved) | contains(spare, retrieved), -1, retrieved)
        both = tf.concat([rows, spare, left], axis=1)
        order = tf.argsort(tf.cast(both < 0, tf.int32), axis=1, stable=True)
        full = tf.gather(both, order, axis=1, batch_dims=1)[:, :k]
        return tf.pad(full, [[0, 0], [0, k - tf.shape(full)[1]]], constant_values=-1)

    full = tf.cond(tf.reduce_any(rows < 0), filled, lambda: rows)
    return full, (rows < 0) & (full >= 0)


def cut(rows: tf.Tensor, k: tf.Tensor) -> tf.Tensor:
    """Rows [B, n] with -1 in all places but the first k [B] of each list."""
    return tf.where(tf.range(tf.shape(rows)[1])[None, :] < k[:, None], rows, -1)


def listed(ids: ItemIds, rows: tf.Tensor, scores: tf.Tensor, k: tf.Tensor, filled: tf.Tensor | None = None) -> Tensors:
    """Rows [B, n], -1 at the end, as a list of at most k [B] items each: items, scores, count; filled where given."""
    rows = cut(rows, k)
    within = rows >= 0
    result = {
        "items": ids.names(rows),
        "scores": tf.where(within, scores, 0.0),
        "count": tf.reduce_sum(tf.cast(within, tf.int32), axis=1),
    }
    if filled is not None:
        result["filled"] = filled & within
    return result

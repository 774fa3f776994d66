"""The k best items that a request may be shown: searched, filtered, and merged with what is newer than the index.

How much is fetched for k items follows what of it will be dropped. Where that is most, or too little was left after
all, the survivors are scored exactly: a list is short only when the catalogue is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from serving.filters import Filters, Wanted
from serving.searchers import Searcher, cost, search
from serving.searchers.base import IN_PLACE
from serving.sets import contains
from towers.backend import shared, take, tf
from towers.losses import MASKED
from towers.maxsim import maxsim

_WORTH = 1.5  # times what a search takes may scoring all survivors: a search may turn out to be for nothing
_SIFTED = 6  # survivors looked at (are they listed, what did they score) in the time that one vector takes to be copied
_SPREAD = 3.0  # standard deviations by which fewer items than expected may survive

Found = tuple[tf.Tensor, tf.Tensor]  # rows [B, k], -1 where there are fewer, and scores [B, k]


@dataclass(frozen=True)
class Asked:
    """What a batch wants: query [B, D] or [B, m, D]; seen [B, S], rows not to be shown, -1 is padding; wanted, what it
    asks of the filters."""

    query: tf.Tensor
    seen: tf.Tensor
    wanted: Wanted

    def take(self, rows: tf.Tensor) -> Asked:
        """Some of the requests."""
        wanted = {name: tf.gather(codes, rows) for name, codes in self.wanted.items()}
        return Asked(tf.gather(self.query, rows), tf.gather(self.seen, rows), wanted)


class Retrieval(tf.Module):
    """Searches the items of a catalogue of N, by row.

    static [N, d + 1], trend [N, t] and mixed [N, s] side by side are the items' vectors. The index is of the items at
    `indexed` [M], as they were when it was built. Beside it stand `listed` [N], whether an item may be shown at all;
    `replaced` [N], whether its vector in the index is out of date; and the delta, rows [n] of items whose vectors are
    not in the index, with those vectors. newcomer [t + s] is the trend and mixed of an item that nobody took yet.
    """

    def __init__(
        self,
        searcher: Searcher,
        indexed: np.ndarray,
        static: np.ndarray,
        trend: np.ndarray,
        mixed: np.ndarray,
        filters: Filters,
        newcomer: np.ndarray,
    ) -> None:
        super().__init__()
        self.searcher, self.filters = searcher, filters
        self.indexed = tf.Variable(indexed.astype(np.int32), trainable=False, shape=[None])
        self.static, self.trend, self.mixed = (
            tf.Variable(part, trainable=False, shape=[None, part.shape[1]]) for part in (static, trend, mixed)
        )
        width = sum(part.shape[1] for part in self._parts)
        self.newcomer = tf.Variable(newcomer, trainable=False)
        listed = np.zeros(len(static), bool)
        listed[indexed] = True
        self.listed = tf.Variable(listed, trainable=False, shape=[None])
        self.replaced = tf.Variable(np.zeros(len(static), bool), trainable=False, shape=[None])
        self.current = tf.Variable(1.0, trainable=False)  # share of the index that is listed and not replaced
        self.delta = tf.Variable(np.zeros(0, np.int32), trainable=False, shape=[None])
        self.delta_vectors = tf.Variable(np.zeros([0, width], np.float32), trainable=False, shape=[None, width])

    @property
    def _parts(self) -> tuple[tf.Variable, ...]:
        """Those that have any number: to copy none of many items takes as long as to look at them."""
        return tuple(part for part in (self.static, self.trend, self.mixed) if part.shape[1])

    def vectors(self, rows: tf.Tensor) -> tf.Tensor:
        """The whole vectors of rows of any shape, [..., D]; of row 0 for negative ones."""
        known = tf.maximum(rows, 0)
        return tf.concat([take(part, known) for part in self._parts], axis=-1)

    def shown(self, rows: tf.Tensor, asked: Asked) -> tf.Tensor:
        """Which of rows [B, n] may be shown to each request, [B, n] bool; none below 0."""
        allowed = (rows >= 0) & take(self.listed, tf.maximum(rows, 0)) & ~contains(asked.seen, rows)
        return allowed & self.filters.allow(rows, asked.wanted)

    def best(self, asked: Asked, k: tf.Tensor) -> Found:
        """The k best of the items that each request may be shown."""
        return self._best(asked.query, asked.seen, dict(asked.wanted), k)

    @shared
    def _best(self, query: tf.Tensor, seen: tf.Tensor, wanted: Wanted, k: tf.Tensor) -> Found:
        asked = Asked(query, seen, wanted)
        share, left = self.filters.left(asked.wanted)
        needed = self._needed(asked, k, share)
        if not asked.wanted:  # no filter at all
            fetched = tf.maximum(tf.reduce_max(needed), k)
            *found, floor = self._searched(asked, fetched, k)
            selective = tf.zeros(tf.shape(needed), tf.bool)
        else:
            selective = self._cost(left) <= _WORTH * cost(self.searcher, asked.query, needed)
            fetched = tf.maximum(tf.reduce_max(tf.where(selective, k, needed)), k)
            # outside of a condition: a graph whose branches alone hold ScaNN's operations would load without them
            nothing = [
                tf.fill([tf.size(needed), k], -1),
                *(tf.fill(of, MASKED) for of in ([tf.size(needed), k], [tf.size(needed)])),
            ]
            *found, floor = _replaced(nothing, ~selective, asked, lambda some: self._searched(some, fetched, k))
        # what was not fetched may be better: a filter may leave much, and little of what this request likes best
        lacking = selective | ((found[1][:, -1] < floor) & (fetched < tf.size(self.indexed)))
        exact = lambda some: self._exact(some, k)  # noqa: E731
        rows, scores = tf.cond(tf.reduce_any(lacking), lambda: _replaced(found, lacking, asked, exact), lambda: found)
        return rows, scores

    def _needed(self, asked: Asked, k: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
        """Items to fetch for each request so that most likely k are left, [B] int32, where filters leave a share."""
        share = self.current * share * tf.ones([tf.shape(asked.seen)[0]])
        wanted = tf.cast(k + tf.reduce_sum(tf.cast(asked.seen >= 0, tf.int32), axis=1), tf.float32)
        spare = tf.where(share < 1.0, _SPREAD * tf.sqrt(wanted * (1.0 - share)), 0.0)
        needed = tf.math.ceil((wanted + spare) / tf.maximum(share, 1e-9))
        return tf.cast(tf.minimum(needed, tf.cast(tf.size(self.indexed), tf.float32)), tf.int32)

    def _cost(self, left: tf.Tensor) -> tf.Tensor:
        """About what scoring so many survivors takes, float32, as `Searcher.cost` has it."""
        items = tf.size(self.listed)
        left = tf.minimum(left, items)
        return tf.cast(tf.minimum(left, items // IN_PLACE), tf.float32) + tf.cast(left, tf.float32) / _SIFTED

    def _searched(self, asked: Asked, fetched: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The k best of `fetched` items of the index, at least k, and of the delta; and which score every item of the
        index that was not fetched is below, [B]."""
        scores, place = search(self.searcher, asked.query, fetched)
        floor = scores[:, -1]
        rows = tf.where(place >= 0, take(self.indexed, tf.maximum(place, 0)), -1)
        rows = tf.where(take(self.replaced, tf.maximum(rows, 0)), -1, rows)
        newer = tf.tile(self.delta[None], [tf.shape(rows)[0], 1])
        rows = tf.concat([rows, newer], axis=1)
        scores = tf.concat([scores, maxsim(asked.query, self.delta_vectors)], axis=1)
        return *_best(rows, tf.where(self.shown(rows, asked), scores, MASKED), k), floor

    def _exact(self, asked: Asked, k: tf.Tensor) -> Found:
        """The k best of all items, of which few survive the filters."""

        def one(request: tuple) -> Found:
            query, seen, wanted = request
            rows, rest = self.filters.survivors(wanted, tf.size(self.listed))
            allowed = self.filters.allow(rows[None], {name: codes[None] for name, codes in rest.items()})[0]
            scores = tf.where(allowed & take(self.listed, rows), self._scores(query, rows), MASKED)[None]
            # who was seen is among so many more: to look for them among all takes as long as the scores
            rows, scores = _best(rows[None], scores, tf.minimum(k + tf.size(seen), tf.size(rows)))
            scores = tf.where(contains(seen[None], rows), MASKED, scores)
            rows, scores = _best(rows, scores, tf.minimum(k, tf.size(rows)))
            missing = [[0, k - tf.shape(rows)[1]]]
            return tf.pad(rows[0], missing, constant_values=-1), tf.pad(scores[0], missing, constant_values=MASKED)

        types = tf.TensorSpec([None], tf.int32), tf.TensorSpec([None], tf.float32)
        return tf.map_fn(one, (asked.query, asked.seen, asked.wanted), fn_output_signature=types)

    def _scores(self, query: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """Scores [n] of rows [n] for one query [D] or [m, D]."""
        widths = [part.shape[1] for part in self._parts]
        queries = tf.split(query, widths, axis=-1)

        def scored(parts: Sequence[tf.Tensor]) -> tf.Tensor:
            """A part at a time: side by side they would be copied once more."""
            if query.shape.rank == 1:
                pairs = zip(parts, queries, strict=True)
                return tf.add_n([tf.linalg.matvec(items, own) for items, own in pairs])
            pairs = zip(queries, parts, strict=True)
            return tf.reduce_max(tf.add_n([tf.matmul(own, items, transpose_b=True) for own, items in pairs]), axis=0)

        return tf.cond(
            tf.size(rows) > tf.size(self.listed) // IN_PLACE,
            lambda: tf.gather(scored(self._parts), rows),
            lambda: scored([take(part, rows) for part in self._parts]),
        )


def _best(rows: tf.Tensor, scores: tf.Tensor, k: tf.Tensor) -> Found:
    scores, best = tf.math.top_k(scores, k)
    return tf.where(scores > MASKED, tf.gather(rows, best, axis=1, batch_dims=1), -1), scores


def _replaced(
    found: Sequence[tf.Tensor], which: tf.Tensor, asked: Asked, method: Callable[[Asked], Sequence[tf.Tensor]]
) -> list[tf.Tensor]:
    """Parts of answers, [B, ...], replaced for the requests `which` [B] bool by what a method finds for them."""
    place = tf.where(which)
    better = method(asked.take(place[:, 0]))
    return [tf.tensor_scatter_nd_update(part, place, other) for part, other in zip(found, better, strict=True)]

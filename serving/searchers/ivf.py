"""An inverted file of core TensorFlow operations alone: what a stock TF Serving binary can load.

Items lie in the order of their leaves, the cells of k-means (Sivic and Zisserman 2003; Jégou et al. 2011, without the
codes); a query scores the centroids, and then exactly every item of the best leaves.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from serving.searchers.base import GROWTH, IN_PLACE, USUAL, doubled, held, more_leaves, pad
from towers.backend import take, tf, traced

_LEAVES = 4.0  # times sqrt(N): smaller than ScaNN's, as every item of a leaf is scored exactly
_SHARES = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)  # of the leaves
_SAMPLE = 32  # items for each leaf that the centroids are learned on
_ROUNDS = 10  # of k-means
_SLACK = 4  # items scored, at least, for each one asked for
_LEAST = 1024  # items scored at least
_RUN = 1.5  # vectors copied leaf by leaf in the time that one takes which stands alone
_BLOCK = 8192  # items whose leaf is looked up at once


@dataclass(frozen=True)
class Layout:
    """Leaves: cells of k-means; some may turn out empty and are dropped. Of more than one shard they are those of each
    (`sharded.Sharded`)."""

    leaves: int
    shards: int = 1

    @classmethod
    def of(cls, size: int) -> Layout:
        """About 4 sqrt(N) for `size` items."""
        return cls(min(size, round(_LEAVES * math.sqrt(size))))


@dataclass(frozen=True)
class Effort:
    """Leaves searched for k items, and to which power of what is asked for beyond k there are more."""

    leaves: int
    k: int = USUAL
    growth: float = GROWTH


@dataclass(frozen=True)
class Cells:
    """Items in the order of their leaves: vectors [N, D], places [N] (which item it is), centroids [L, D], and where
    each leaf starts, [L + 1]."""

    vectors: np.ndarray
    places: np.ndarray
    centroids: np.ndarray
    starts: np.ndarray


class Ivf(tf.Module):
    """Exact scores of the items in those leaves whose centroids score best.

    A call that asks for more searches more leaves, in steps of two: a query is rarely answered differently in another
    batch, whose longest history asks for more.
    """

    kind, layout_type = "ivf", Layout

    def __init__(self, cells: Cells, layout: Layout, effort: Effort) -> None:
        super().__init__()
        self.size = len(cells.vectors)
        self.layout, self.effort = layout, effort
        width = cells.vectors.shape[1]
        self.vectors = tf.Variable(cells.vectors, trainable=False, shape=[None, width])
        self.places = tf.Variable(cells.places, trainable=False, shape=[None])
        self.centroids = tf.Variable(cells.centroids, trainable=False, shape=[None, width])
        self.starts = tf.Variable(cells.starts, trainable=False, shape=[None])

    @classmethod
    def build(cls, vectors: np.ndarray, layout: Layout | None = None) -> Ivf:
        """Build over `vectors` [N, D]; a tenth of the leaves, and at least about 1,024 items, are searched."""
        vectors, layout = np.asarray(vectors, np.float32), layout or Layout.of(len(vectors))
        centroids = _centroids(vectors, min(layout.leaves, len(vectors)))  # a layout may outlive items
        used, leaf = np.unique(_nearest(vectors, centroids), return_inverse=True)
        order = np.argsort(leaf, kind="stable").astype(np.int32)
        starts = np.append(0, np.cumsum(np.bincount(leaf, minlength=len(used)))).astype(np.int32)
        effort = Effort(math.ceil(len(used) * min(1.0, max(0.1, _LEAST / len(vectors)))))
        return cls(Cells(vectors[order], order, centroids[used], starts), layout, effort)

    @classmethod
    def restore(cls, parts: Mapping[str, np.ndarray]) -> Ivf:
        """Rebuild from saved arrays."""
        cells = Cells(*(parts[field.name] for field in fields(Cells)))
        growth = float(parts["growth"]) if "growth" in parts else GROWTH
        return cls(cells, Layout(int(parts["leaves"])), Effort(int(parts["searched"]), int(parts["k"]), growth))

    def release(self) -> None:
        """See `Searcher.release`: nothing is made."""

    @property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """The items by leaf, the layout and the effort."""
        effort = {"searched": self.effort.leaves, "k": self.effort.k, "growth": self.effort.growth}
        numbers = {"leaves": self.layout.leaves, **effort}
        cells = {name: held(part) for name, part in self.parts.items()}
        return {name: np.array(number) for name, number in numbers.items()} | cells

    def efforts(self, k: int) -> Sequence[Sequence[Effort]]:
        """One ladder of more and more leaves."""
        searched = sorted({math.ceil(share * self.layout.leaves) for share in _SHARES})
        return [[Effort(leaves, k) for leaves in searched]]

    def layouts(self) -> Sequence[Layout]:
        """More and fewer leaves, as far as there are items for them."""
        numbers = (round(self.layout.leaves * times) for times in (2.0, 0.5))
        return [replace(self.layout, leaves=leaves) for leaves in numbers if 1 <= leaves <= self.size]

    @property
    def parts(self) -> Mapping[str, tf.Variable]:
        """The fields of `Cells`."""
        return {field.name: getattr(self, field.name) for field in fields(Cells)}

    @property
    def nbytes(self) -> int:
        """Bytes of vectors, centroids and rows."""
        return sum(int(tf.size(part)) * part.dtype.size for part in self.parts.values())

    @property
    def _count(self) -> tf.Tensor:
        return tf.shape(self.places)[0]

    def cost(self, k: tf.Tensor) -> tf.Tensor:
        """See `Searcher.cost`: the items of the leaves searched, were they all of one size, or all items; and the
        centroids."""
        found, count, leaves = tf.minimum(k, self._count), tf.cast(self._count, tf.float32), tf.shape(self.centroids)[0]
        share = tf.cast(self._leaves(found), tf.float32) / tf.cast(leaves, tf.float32)
        items = tf.maximum(share * count, tf.cast(tf.minimum(_wanted(found), self._count), tf.float32))
        return tf.minimum(items / _RUN, count / IN_PLACE) + tf.cast(leaves, tf.float32) / IN_PLACE

    def search(self, queries: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Searcher.search`."""
        found = tf.minimum(k, self._count)
        scores, rows = self._each(queries, found, self._leaves(found))
        return pad(scores, rows, k)

    def _leaves(self, found: tf.Tensor) -> tf.Tensor:
        """Leaves searched for so many items, if these hold enough."""
        return more_leaves(self.effort.leaves, found, self.effort.k, self.effort.growth)

    @traced(reduce_retracing=True)  # called eagerly, the loop would else run in Python
    def _each(self, queries: tf.Tensor, found: tf.Tensor, leaves: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores and rows [B, found] of queries [B, D], `leaves` searched."""
        types = (tf.TensorSpec([None], tf.float32), tf.TensorSpec([None], tf.int32))
        nothing = tf.zeros([0, found]), tf.zeros([0, found], tf.int32)
        return tf.cond(
            tf.shape(queries)[0] > 0,
            lambda: tf.map_fn(lambda query: self._one(query, found, leaves), queries, fn_output_signature=types),
            lambda: nothing,
        )

    def _one(self, query: tf.Tensor, found: tf.Tensor, leaves: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores and rows [found] of one query [D]."""
        order = tf.argsort(-tf.linalg.matvec(self.centroids, query), stable=True)
        starts, ends = take(self.starts, order), take(self.starts, order + 1)
        wanted = tf.minimum(_wanted(found), self._count)
        enough = 1 + tf.reduce_sum(tf.cast(tf.cumsum(ends - starts) < wanted, tf.int32))
        starts, ends = (bounds[: tf.maximum(leaves, enough)] for bounds in (starts, ends))

        def of_leaves() -> tuple[tf.Tensor, tf.Tensor]:
            items = tf.ragged.range(starts, ends).flat_values
            scores, best = tf.math.top_k(tf.linalg.matvec(take(self.vectors, items), query), found)
            return scores, tf.gather(items, best)

        def of_all() -> tuple[tf.Tensor, tf.Tensor]:
            return tuple(tf.math.top_k(tf.linalg.matvec(self.vectors, query), found))

        many = tf.reduce_sum(ends - starts) > tf.cast(tf.cast(self._count, tf.float32) * _RUN / IN_PLACE, tf.int32)
        scores, best = tf.cond(many, of_all, of_leaves)
        return scores, take(self.places, best)


def _wanted(found: tf.Tensor) -> tf.Tensor:
    """Items scored at least, where so many are to be found."""
    return doubled(_SLACK * found, _LEAST)


def _centroids(vectors: np.ndarray, leaves: int) -> np.ndarray:
    """Centroids [leaves, D] of k-means over a sample."""
    from sklearn.cluster import KMeans  # half a second to import, and needed only where an index is built

    rng = np.random.default_rng(0)
    sample = vectors[np.sort(rng.permutation(len(vectors))[: _SAMPLE * leaves])]
    means = KMeans(leaves, init="random", n_init=1, max_iter=_ROUNDS, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer distinct vectors than leaves: some stay empty, and are dropped
        return means.fit(sample).cluster_centers_.astype(np.float32)


def _nearest(vectors: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """The leaf of each vector, [N]: its nearest centroid."""
    half = (centroids**2).sum(axis=1) / 2
    blocks = (vectors[start : start + _BLOCK] for start in range(0, len(vectors), _BLOCK))
    return np.concatenate([(block @ centroids.T - half).argmax(axis=1) for block in blocks])

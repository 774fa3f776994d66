"""Neighbours: items similar to those of the history, and queries similar to the one that asks."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from pipelines.baselines.matrix import history_items, largest, query_items, tie_break
from pipelines.tables import Interactions, Requests


class ItemNeighbours:
    """Cosine of items over the queries that took them, shrunk, with the closest neighbours kept.

    sim(a, b) = a . b / (|a| |b| + shrinkage), where a and b are columns of the query-item matrix (shrinkage
    as in Dacrema et al., "Are we really making much progress?", 2019). Each item keeps its `neighbours` most
    similar others; a request scores an item by the sum, over the items of its history that keep it as a
    neighbour, of their similarity (Deshpande and Karypis, 2004), so it needs no fitted query. Items without
    any similarity follow popularity.

    Time goes with the sum over queries of their squared number of items; memory with `block` rows of
    co-occurrences at a time and, kept, n_items * neighbours entries of 8 bytes.
    """

    def __init__(
        self, neighbours: int = 100, shrinkage: float = 20.0, block: int = 256, name: str = "item-kNN"
    ) -> None:
        self.neighbours = neighbours
        self.shrinkage = shrinkage
        self.block = block
        self.name = name

    def fit(self, interactions: Interactions, n_queries: int, n_items: int, now: int) -> None:
        """Compute the similarities from the events before `now`."""
        matrix = query_items(interactions.before(now), n_queries, n_items)
        columns = matrix.T.tocsr()
        norms = np.sqrt(np.asarray(columns.multiply(columns).sum(axis=1)).ravel())
        blocks = [
            self._closest(columns[start : start + self.block] @ matrix, start, norms)
            for start in range(0, n_items, self.block)
        ]
        self.similarity = sparse.vstack(blocks, format="csr")
        self.tie_break = tie_break(matrix.sum(axis=0).A1)

    def scores(self, requests: Requests) -> np.ndarray:
        """Summed similarity of each item to the request's history, float32 [b, N]."""
        history = history_items(requests.history, self.similarity.shape[0])
        return (history @ self.similarity).toarray() + self.tie_break

    def _closest(self, dots: sparse.csr_matrix, first: int, norms: np.ndarray) -> sparse.csr_matrix:
        """The largest similarities in each row of `dots` (items from `first` on)."""
        rows, items = dots.tocoo().coords
        values = dots.data / (norms[rows + first] * norms[items] + self.shrinkage)
        others = rows + first != items
        return largest(rows[others], items[others], values[others], dots.shape, self.neighbours)


class UserNeighbours:
    """Items taken by the queries whose histories are most like the request's.

    sim(h, u) = h . u / (|h| |u| + shrinkage), where h is the request's history and u a query's row of the query-item
    matrix; the `neighbours` most similar queries vote for what they took with their similarity (Herlocker et al.,
    1999, without ratings). A request is known by its history alone, so unknown queries and histories that went on
    since the fit are nothing special; the query's own row is not among its neighbours. Items without any vote follow
    popularity.

    Memory: about `cells` similarities are held at a time.
    """

    def __init__(
        self, neighbours: int = 100, shrinkage: float = 20.0, cells: int = 20_000_000, name: str = "user-kNN"
    ) -> None:
        self.neighbours = neighbours
        self.shrinkage = shrinkage
        self.cells = cells
        self.name = name

    def fit(self, interactions: Interactions, n_queries: int, n_items: int, now: int) -> None:
        """Remember what each query took before `now`."""
        self.matrix = query_items(interactions.before(now), n_queries, n_items)
        self.norms = np.sqrt(self.matrix.multiply(self.matrix).sum(axis=1).A1)
        self.tie_break = tie_break(self.matrix.sum(axis=0).A1)

    def scores(self, requests: Requests) -> np.ndarray:
        """Summed similarity of the neighbours that took each item, float32 [b, N]."""
        rows = max(self.cells // max(len(self.norms), 1), 1)
        votes = [(self._closest(part) @ self.matrix).toarray() for part in requests.blocks(rows)]
        return np.concatenate([np.zeros((0, len(self.tie_break)), np.float32), *votes]) + self.tie_break

    def _closest(self, requests: Requests) -> sparse.csr_matrix:
        """Similarities of each request to its closest queries, [b, queries]."""
        history = history_items(requests.history, self.matrix.shape[1])
        lengths = np.sqrt(history.sum(axis=1).A1)
        dots = (history @ self.matrix.T).tocoo()
        rows, queries = dots.coords
        values = dots.data / (lengths[rows] * self.norms[queries] + self.shrinkage)
        others = queries != requests.query[rows]
        return largest(rows[others], queries[others], values[others], dots.shape, self.neighbours)

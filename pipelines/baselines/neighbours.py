"""Item-kNN: items similar to those of the history."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from pipelines.baselines.matrix import history_items, query_items
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
        taken = np.asarray(matrix.sum(axis=0)).ravel()
        self.tie_break = (1e-6 * taken / max(taken.max(initial=0.0), 1.0)).astype(np.float32)

    def scores(self, requests: Requests) -> np.ndarray:
        """Summed similarity of each item to the request's history, float32 [b, N]."""
        history = history_items(requests.history, self.similarity.shape[0])
        return (history @ self.similarity).toarray() + self.tie_break

    def _closest(self, dots: sparse.csr_matrix, first: int, norms: np.ndarray) -> sparse.csr_matrix:
        """The largest similarities in each row of `dots` (items from `first` on), ties to the lower item."""
        rows, items = dots.tocoo().coords
        values = dots.data / (norms[rows + first] * norms[items] + self.shrinkage)
        others = rows + first != items
        rows, items, values = rows[others], items[others], values[others].astype(np.float32)
        order = np.lexsort((items, -values, rows))
        rows, items, values = rows[order], items[order], values[order]
        starts = np.searchsorted(rows, np.arange(dots.shape[0]))
        kept = np.arange(len(rows)) - starts[rows] < self.neighbours
        return sparse.csr_matrix((values[kept], (rows[kept], items[kept])), shape=dots.shape)

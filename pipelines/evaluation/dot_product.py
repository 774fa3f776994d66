"""Exact search where scores are dot products: the scores of all items are never held at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import numpy as np

from pipelines.evaluation.top_k import top_k_of_pairs
from pipelines.tables import Ragged, Requests

_ENOUGH = 1 << 14  # items from which on it pays to screen them
_SHORT = 64  # and times k


@dataclass(frozen=True)
class DotProduct:
    """A `Scorer` that `rank` sees through: its scores are dot products of vectors of requests and items.

    queries: b requests in, their vectors out, float32 [b, d], or [b, m, d] where the largest of m dot products is the
    score (`towers.maxsim`); items: float32 [N, d].
    """

    queries: Callable[[Requests], np.ndarray]
    items: np.ndarray

    def __call__(self, requests: Requests) -> np.ndarray:
        """Scores of all items, float32 [b, N]."""
        queries = self.queries(requests)
        if queries.ndim == 2:
            return queries @ self.items.T
        return reduce(np.maximum, (queries[:, one] @ self.items.T for one in range(queries.shape[1])))


class DotProductSearch:
    """The eligible items of a `DotProduct`, prepared for exact search: about 7 * N * d bytes.

    `best` and `places` hold about 100 kB for each request that they are given at a time. Scores are the same whatever
    the other requests and items are, and may differ from those of `DotProduct` in the last digits.
    """

    def __init__(self, items: np.ndarray, eligible: np.ndarray, filter_seen: bool) -> None:
        """items: float32 [N, d]; eligible: bool [N]. Raises ValueError for numbers that are not finite."""
        from pipelines.evaluation.screening import Screen  # brings TensorFlow, which other scorers do without

        # In random order, so that those screened first are a sample of all.
        self._rows = np.random.default_rng(0).permutation(np.flatnonzero(eligible))
        self._place = np.full(len(eligible), -1)
        self._place[self._rows] = np.arange(len(self._rows))
        self._filter_seen = filter_seen
        self._screen = Screen(_finite("items", items.take(self._rows, axis=0)))

    @staticmethod
    def pays(eligible: np.ndarray, k: int) -> bool:
        """Whether this is faster than to score all items exactly: they are many, and the list is short."""
        return bool(np.count_nonzero(eligible) >= max(_ENOUGH, _SHORT * k))

    def best(self, queries: np.ndarray, requests: Requests, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k best items of b requests with vectors [b, d] or [b, m, d]: int32 [b, k], and scores float32 [b, k]."""
        from pipelines.evaluation.screening import contenders

        several = 1 if queries.ndim == 2 else queries.shape[1]
        vectors, barred = queries.reshape(-1, queries.shape[-1]), self._barred(requests)
        if several > 1:
            barred = barred.take(np.repeat(np.arange(len(queries)), several))
        row, place = contenders(self._screen, _finite("queries", vectors), k, barred)
        scores = self._screen.exact(vectors, row, place)
        if several > 1:
            row, place, scores = _largest(row // several, place, scores)
        return top_k_of_pairs(row, self._rows[place], scores, len(queries), k)

    def places(self, queries: np.ndarray, requests: Requests, k: int) -> tuple[np.ndarray, np.ndarray]:
        """As `best`, but no more than the requests' targets, at most one for each, has to be in its place."""
        if queries.ndim == 3:  # what several vectors have before a target cannot be counted one by one
            return self.best(queries, requests, k)
        from pipelines.evaluation.screening import better

        queries, barred, row = _finite("queries", queries), self._barred(requests), requests.targets.rows
        place = self._place[requests.targets.values]
        admitted = place >= 0
        admitted[np.isin(row * len(self._place) + place, barred.rows * len(self._place) + barred.values)] = False
        row, place = row[admitted], place[admitted]
        rank = better(self._screen, queries[row], place, self._rows, k, barred.take(row))
        row, place, rank = row[rank < k], place[rank < k], rank[rank < k]
        items, scores = np.full((len(queries), k), -1, np.int32), np.full((len(queries), k), -np.inf, np.float32)
        items[row, rank], scores[row, rank] = self._rows[place], self._screen.exact(queries, row, place)
        return items, scores

    def _barred(self, requests: Requests) -> Ragged:
        """Places of the items that a request has seen, none where they may return."""
        if not self._filter_seen:
            return Ragged(np.zeros(len(requests) + 1, np.int64), np.zeros(0, np.int64))
        place = self._place[requests.history.values]
        return Ragged.from_rows(requests.history.rows[place >= 0], place[place >= 0], len(requests))


def _largest(row: np.ndarray, place: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each pair of a row and a place once, with the largest of its scores, ascending by row; all [n]."""
    order = np.lexsort((-scores, place, row))
    row, place = row[order], place[order]
    first = np.ones(len(row), bool)
    first[1:] = (row[1:] != row[:-1]) | (place[1:] != place[:-1])
    return row[first], place[first], scores[order][first]


def _finite(what: str, vectors: np.ndarray) -> np.ndarray:
    if not np.isfinite(vectors).all():
        raise ValueError(f"scores: got {what} with NaN or infinity, expected finite numbers")
    return vectors

"""LightFM: matrix factorisation over ids and features, trained to rank taken items at the top."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from sklearn.linear_model import Ridge

from pipelines.baselines.factors import FittedQueries
from pipelines.baselines.matrix import history_items, query_items
from pipelines.tables import Interactions, Requests


class LightFM:
    """Factorisation of ids and features with the WARP loss (Kula, 2015; Weston et al., 2011), by lightfm.

    query_features [n_queries, f], item_features [n_items, g]: indicators, next to the ids. A row's vector is the sum
    of those of its id and features. LightFM folds no one in: a query that it does not know, or whose history went on
    since the fit, is read from its history, by the ridge regression of the known queries' vectors on the mean of
    their items' vectors. Without a history, what its features say is left, and for a query without known features
    the mean of the known ones. Weights are not used. One thread, as with more no two fits are the same.
    """

    def __init__(
        self,
        query_features: sparse.csr_matrix,
        item_features: sparse.csr_matrix,
        factors: int = 32,
        learning_rate: float = 0.05,
        epochs: int = 10,
        seed: int = 0,
        name: str = "LightFM",
    ) -> None:
        self.query_features = query_features
        self.item_features = item_features
        self.factors = factors
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.seed = seed
        self.name = name

    def fit(self, interactions: Interactions, n_queries: int, n_items: int, now: int) -> None:
        """Train on the events before `now`."""
        import lightfm  # an extra, and not everyone has it

        past = interactions.before(now)
        self._taken = query_items(past, n_queries, n_items)
        self._taken.data[:] = 1
        self._events = np.bincount(past.query, minlength=n_queries)
        self._queries = _with_ids(self.query_features)
        self._items = _with_ids(self.item_features)
        self._model = lightfm.LightFM(
            self.factors, loss="warp", learning_rate=self.learning_rate, random_state=self.seed
        )
        self._train(self.epochs)

    def vary(self, epochs: int) -> bool:
        """Train on up to `epochs`; False where more are behind it already."""
        if epochs < self.epochs:
            return False
        self._train(epochs - self.epochs)
        self.epochs = epochs
        return True

    def scores(self, requests: Requests) -> np.ndarray:
        """Predicted preferences, float32 [b, N]."""
        vectors, unknown = self.queries.lookup(requests)
        unknown = np.union1d(unknown, self.queries.went_on(requests))
        if len(unknown) and self.queries.known.any():
            history = history_items(requests.history.take(unknown), len(self.items))
            vectors[unknown] = self.from_history.predict(_means(history, self.items))
        return vectors @ self.items.T + self.biases

    def _train(self, epochs: int) -> None:
        self._model.fit_partial(self._taken, self._queries, self._items, epochs=epochs if self._taken.nnz else 0)
        self.biases, self.items = self._model.get_item_representations(self._items)
        _, vectors = self._model.get_user_representations(self._queries)
        described = np.diff(self.query_features.indptr) > 0
        self.queries = FittedQueries(self._taken, vectors, self._events, described)
        if self.queries.known.any():
            known = self._taken[self.queries.known]
            self.from_history = Ridge().fit(_means(known, self.items), vectors[self.queries.known])


def _with_ids(features: sparse.csr_matrix) -> sparse.csr_matrix:
    return sparse.hstack([sparse.identity(features.shape[0], np.float32), features], format="csr", dtype=np.float32)


def _means(taken: sparse.csr_matrix, vectors: np.ndarray) -> np.ndarray:
    """Mean vector of each row's items, [rows, f]; no row may be empty."""
    return (taken @ vectors) / taken.sum(axis=1).A1[:, None]

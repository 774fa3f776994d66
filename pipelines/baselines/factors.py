"""Matrix factorisation by implicit: alternating least squares, and Bayesian personalised ranking.

Both score a query known to the fit by its fitted factors, and an unknown one by what its history says; with
neither, by the mean of the fitted queries.
"""

from __future__ import annotations

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from implicit.cpu.bpr import BayesianPersonalizedRanking
from scipy import sparse
from threadpoolctl import threadpool_limits

from pipelines.baselines.matrix import history_items, query_items
from pipelines.tables import Interactions, Requests


class ALS:
    """Weighted least squares on implicit feedback (Hu, Koren and Volinsky, 2008).

    implicit reads alpha * weight as the confidence of an observed pair, against 1 for all others (the paper
    has 1 + alpha * weight). With alpha 1 and weights 1 every pair counts alike: a regularised SVD of the
    binary matrix. threads: 0 for all cores; the result is the same for any number.
    """

    def __init__(
        self,
        factors: int = 64,
        regularization: float = 0.05,
        alpha: float = 1.0,
        iterations: int = 15,
        threads: int = 0,
        seed: int = 0,
        name: str = "ALS",
    ) -> None:
        self.factors = factors
        self.regularization = regularization
        self.alpha = alpha
        self.iterations = iterations
        self.threads = threads
        self.seed = seed
        self.name = name

    def fit(self, interactions: Interactions, n_queries: int, n_items: int, now: int) -> None:
        """Factorise the events before `now`."""
        past = interactions.before(now)
        matrix = query_items(past, n_queries, n_items)
        # implicit runs its own threads; those of BLAS beside them make it many times slower.
        with threadpool_limits(1, "blas"):
            self.model = AlternatingLeastSquares(
                factors=self.factors,
                regularization=self.regularization,
                alpha=self.alpha,
                iterations=self.iterations,
                num_threads=self.threads,
                random_state=self.seed,
            )
            self.model.fit(matrix, show_progress=False)
        self.queries = FittedQueries(matrix, self.model.user_factors, np.bincount(past.query, minlength=n_queries))

    def scores(self, requests: Requests) -> np.ndarray:
        """Predicted preferences, float32 [b, N]."""
        vectors, unknown = self.queries.lookup(requests)
        unknown = np.union1d(unknown, self.queries.went_on(requests))  # the towers read all of their history too
        if len(unknown):
            history = history_items(requests.history.take(unknown), len(self.model.item_factors))
            with threadpool_limits(1, "blas"):
                vectors[unknown] = self.model.recalculate_user(unknown, history)
        return vectors @ self.model.item_factors.T


class BPR:
    """Matrix factorisation trained to rank taken items above others (Rendle et al., 2009).

    An unknown query is the mean of its history's item factors. threads: with more than one the updates race
    and no two fits are the same.
    """

    def __init__(
        self,
        factors: int = 64,
        learning_rate: float = 0.01,
        regularization: float = 0.01,
        iterations: int = 100,
        threads: int = 1,
        seed: int = 0,
        name: str = "BPR",
    ) -> None:
        self.factors = factors
        self.learning_rate = learning_rate
        self.regularization = regularization
        self.iterations = iterations
        self.threads = threads
        self.seed = seed
        self.name = name

    def fit(self, interactions: Interactions, n_queries: int, n_items: int, now: int) -> None:
        """Factorise the events before `now`; BPR knows taken or not, so weights are not used."""
        past = interactions.before(now)
        matrix = query_items(past, n_queries, n_items)
        self.model = BayesianPersonalizedRanking(
            factors=self.factors,
            learning_rate=self.learning_rate,
            regularization=self.regularization,
            iterations=self.iterations,
            num_threads=self.threads,
            random_state=self.seed,
        )
        self.model.fit(matrix, show_progress=False)
        self.queries = FittedQueries(matrix, self.model.user_factors, np.bincount(past.query, minlength=n_queries))

    def scores(self, requests: Requests) -> np.ndarray:
        """Predicted preferences, float32 [b, N]."""
        item_factors = self.model.item_factors
        vectors, unknown = self.queries.lookup(requests)
        if len(unknown):
            history = history_items(requests.history.take(unknown), len(item_factors))
            vectors[unknown] = history @ item_factors / history.sum(axis=1).A1[:, None]
            vectors[unknown, -1] = 1  # implicit keeps each item's bias in the last column
        return vectors @ item_factors.T


class FittedQueries:
    """Factors of the queries that the fit knows, and their mean for those of whom nothing is known."""

    def __init__(
        self, matrix: sparse.csr_matrix, factors: np.ndarray, events: np.ndarray, described: np.ndarray | None = None
    ) -> None:
        """matrix: [n_queries, n_items], what was fitted; factors: float32 [n_queries, f]; events [n_queries], how
        many events of each query the fit saw; described: bool [n_queries], whose factors mean something without any.
        """
        self.known = np.diff(matrix.indptr) > 0
        self.events = events
        self.factors = factors
        self._usable = self.known if described is None else self.known | described
        self.mean = factors[self.known].mean(axis=0) if self.known.any() else np.zeros_like(factors[0])

    def lookup(self, requests: Requests) -> tuple[np.ndarray, np.ndarray]:
        """Vectors of b requests, float32 [b, f], and the rows that the caller can improve from a history."""
        usable = self._of(requests, self._usable)
        vectors = np.where(usable[:, None], self.factors[np.where(usable, requests.query, 0)], self.mean)
        return vectors, np.flatnonzero(~self._of(requests, self.known) & (requests.history.lengths > 0))

    def went_on(self, requests: Requests) -> np.ndarray:
        """The rows whose history is longer than what the fit saw of their query."""
        return np.flatnonzero(requests.history.lengths > self._of(requests, self.events))

    def _of(self, requests: Requests, values: np.ndarray) -> np.ndarray:
        """Each request's entry of `values` [n_queries], [b]; 0 for a query outside the table."""
        inside = (requests.query >= 0) & (requests.query < len(values))
        return np.where(inside, values[np.where(inside, requests.query, 0)], values.dtype.type(0))

"""EASE: a linear item-item model in closed form."""

from __future__ import annotations

import numpy as np
from scipy.linalg import lapack

from pipelines.baselines.matrix import history_items, query_items, tie_break
from pipelines.tables import Interactions, Requests


class EASE:
    """Embarrassingly shallow autoencoder (Steck, "Embarrassingly shallow autoencoders for sparse data", 2019).

    The weights B minimise |X - XB|^2 + l2 |B|^2 with nothing on B's diagonal, where X is the query-item matrix:
    B = I - P / diag(P) with P the inverse of X'X + l2 I. A request scores an item by the weights of its history,
    so it needs no fitted query; items without any weight follow popularity.

    Memory: three matrices of n_items x n_items float32 at once. Time goes with n_items cubed.
    """

    def __init__(self, l2: float = 1000.0, name: str = "EASE") -> None:
        self.l2 = l2
        self.name = name

    def fit(self, interactions: Interactions, n_queries: int, n_items: int, now: int) -> None:
        """Solve for the weights from the events before `now`."""
        matrix = query_items(interactions.before(now), n_queries, n_items)
        self.tie_break = tie_break(matrix.sum(axis=0).A1)
        self.gram = (matrix.T @ matrix).toarray()
        self.vary(l2=self.l2)

    def vary(self, l2: float) -> bool:
        """Solve anew with another regularisation from the co-occurrences of the last fit."""
        self.l2 = l2
        regularised = self.gram.copy()
        regularised[np.diag_indices_from(regularised)] += l2
        inverse = _inverse(regularised, l2)
        inverse /= -np.diag(inverse)
        np.fill_diagonal(inverse, 0)
        self.weights = inverse
        return True

    def scores(self, requests: Requests) -> np.ndarray:
        """The history's weights on each item, float32 [b, N]."""
        history = history_items(requests.history, len(self.weights))
        return history @ self.weights + self.tie_break


def _inverse(matrix: np.ndarray, l2: float) -> np.ndarray:
    """Inverse of a symmetric positive definite matrix, in half the time of a general one; overwrites it."""
    potrf, potri = (lapack.get_lapack_funcs((name,), (matrix,))[0] for name in ("potrf", "potri"))
    factor, info = potrf(matrix.T, lower=True, overwrite_a=True)
    inverse, more = potri(factor, lower=True, overwrite_c=True)
    if info or more:
        raise ValueError(f"EASE: the co-occurrences cannot be inverted with l2 = {l2:g}, expected a larger one")
    lower = np.tril(inverse)
    lower += np.tril(lower, -1).T
    return lower

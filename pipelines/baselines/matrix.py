"""Interactions and histories as sparse query-item matrices."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from pipelines.tables import Interactions, Ragged


def query_items(interactions: Interactions, n_queries: int, n_items: int) -> sparse.csr_matrix:
    """Float32 [n_queries, n_items]: the largest weight of each pair's events (1 where weights are 1)."""
    pair = interactions.query.astype(np.int64) * n_items + interactions.item
    pairs, position = np.unique(pair, return_inverse=True)
    largest = np.full(len(pairs), -np.inf, np.float32)
    np.maximum.at(largest, position, interactions.weight)
    return sparse.csr_matrix((largest, np.divmod(pairs, n_items)), shape=(n_queries, n_items))


def history_items(history: Ragged, n_items: int) -> sparse.csr_matrix:
    """Float32 [b, n_items]: 1 for each item of each history, however often it occurs."""
    matrix = sparse.csr_matrix(
        (np.ones(len(history.values), np.float32), history.values, history.starts),
        shape=(len(history), n_items),
        copy=True,  # summing duplicates sorts in place, and the order of a history is not ours to change
    )
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix

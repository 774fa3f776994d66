"""Interactions and histories as sparse query-item matrices."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from pipelines.evaluation.ranking import top_k
from pipelines.tables import Interactions, Ragged

_DENSE = 0.05  # share of entries from which a dense row is quicker to search than a sparse one is to sort


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


def item_counts(interactions: Interactions, n_items: int) -> np.ndarray:
    """Summed weight of each item's events, float64 [n_items]."""
    return np.bincount(interactions.item, interactions.weight, n_items)


def tie_break(counts: np.ndarray) -> np.ndarray:
    """What orders level items by popularity and changes little else: counts scaled to 1e-6 at most, float32."""
    return (1e-6 * counts / max(counts.max(initial=0.0), 1.0)).astype(np.float32)


def largest(
    rows: np.ndarray, columns: np.ndarray, values: np.ndarray, shape: tuple[int, int], k: int
) -> sparse.csr_matrix:
    """The k largest of each row's entries, ties to the lower column, as a sparse float32 matrix of `shape`.

    rows, columns, values: [n] entries, all above 0, each place named once.
    """
    if len(values) > _DENSE * shape[0] * shape[1]:
        dense = np.zeros(shape, np.float32)
        dense[rows, columns] = values
        columns, values = (found.ravel() for found in top_k(dense, min(k, shape[1])))
        rows = np.repeat(np.arange(shape[0]), min(k, shape[1]))
        kept = values > 0
    else:
        order = np.lexsort((columns, -values, rows))
        rows, columns, values = rows[order], columns[order], values[order].astype(np.float32)
        kept = np.arange(len(rows)) - np.searchsorted(rows, np.arange(shape[0]))[rows] < k
    return sparse.csr_matrix((values[kept], (rows[kept], columns[kept])), shape=shape)

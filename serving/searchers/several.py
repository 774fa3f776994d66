"""Search by several vectors at once: what any of a query's vectors finds."""

from __future__ import annotations

import numpy as np

from serving.searchers.base import NOTHING, Searcher
from towers.backend import tf


def search(searcher: Searcher, queries: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """`Searcher.search` for queries [B, D], or for [B, m, D], where an item scores as by the best of m (`maxsim`).

    Who is among the k best by the largest of m scores is among the k best by that score, so m searches find all.
    """
    if queries.shape.rank == 2:
        return searcher.search(queries, k)
    rows, several = tf.shape(queries)[0], queries.shape[1]
    scores, found = searcher.search(tf.reshape(queries, [rows * several, queries.shape[2]]), k)
    scores, found = (tf.reshape(part, [rows, several * k]) for part in (scores, found))
    scores, found = _sorted(-scores, scores, found)
    scores, found = _sorted(found, scores, found)  # each item's best score comes first
    again = tf.pad(found[:, 1:] == found[:, :-1], [[0, 0], [1, 0]])
    scores, best = tf.math.top_k(tf.where(again | (found < 0), -np.inf, scores), k)
    found = tf.gather(found, best, axis=1, batch_dims=1)
    return scores, tf.where(tf.math.is_inf(scores), NOTHING, found)


def cost(searcher: Searcher, queries: tf.Tensor, k: tf.Tensor) -> tf.Tensor:
    """`Searcher.cost` for k of any shape, where `search` takes queries such as these."""
    return searcher.cost(k) * (1.0 if queries.shape.rank == 2 else float(queries.shape[1]))


def _sorted(key: tf.Tensor, *parts: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """The parts [B, n] in the ascending order of a key [B, n]."""
    order = tf.argsort(key, axis=1, stable=True)
    return tuple(tf.gather(part, order, axis=1, batch_dims=1) for part in parts)

"""How queries score items."""

from __future__ import annotations

from towers.backend import tf


def maxsim(queries: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
    """Scores [Q, C] of items [C, D], or of each query's own items [Q, C, D]: inner products with queries [Q, D].

    Of queries [Q, m, D] it is the largest of the m: who has several tastes is served by any of them (Weston, Weiss and
    Yee, Nonlinear latent factorization by embedding multiple user interests, RecSys 2013).
    """
    if queries.shape.rank == 2:
        if items.shape.rank == 2:
            return tf.matmul(queries, items, transpose_b=True)
        return tf.linalg.matvec(items, queries)
    if items.shape.rank == 2:
        return tf.reduce_max(tf.tensordot(queries, items, [[2], [1]]), axis=1)
    return tf.reduce_max(tf.matmul(queries, items, transpose_b=True), axis=1)

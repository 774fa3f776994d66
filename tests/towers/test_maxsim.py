"""Scores of one vector and of several, for shared candidates and for a query's own."""

import numpy as np
import pytest

from towers.backend import tf
from towers.maxsim import maxsim

Q, M, C, D = 4, 3, 6, 5


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("several", [False, True])
def test_the_largest_inner_product_of_a_querys_vectors(several, own):
    rng = np.random.default_rng(0)
    queries = rng.normal(size=(Q, M, D) if several else (Q, D)).astype(np.float32)
    items = rng.normal(size=(Q, C, D) if own else (C, D)).astype(np.float32)
    scores = maxsim(tf.constant(queries), tf.constant(items)).numpy()
    assert scores.shape == (Q, C)
    for q in range(Q):
        for c in range(C):
            vectors, item = queries[q].reshape(-1, D), items[q, c] if own else items[c]
            assert scores[q, c] == pytest.approx(max(float(vector @ item) for vector in vectors), abs=1e-5)


def test_only_the_best_vector_learns():
    queries = tf.Variable([[[1.0, 0.0], [0.0, 1.0]]])
    with tf.GradientTape() as tape:
        score = tf.reduce_sum(maxsim(queries, tf.constant([[3.0, 1.0]])))
    assert tape.gradient(score, queries).numpy().tolist() == [[[3.0, 1.0], [0.0, 0.0]]]

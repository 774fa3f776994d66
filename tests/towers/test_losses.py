"""The softmax loss against the library's own, and against sums written out."""

import numpy as np
import pytest

from towers.backend import tf
from towers.losses import CandidateSoftmax

# isort: split
import tensorflow_recommenders as tfrs

QUERIES, COLUMNS, WIDTH = 5, 9, 4


@pytest.fixture
def vectors():
    rng = np.random.default_rng(0)
    return (
        rng.normal(size=(QUERIES, WIDTH)).astype(np.float32),
        rng.normal(size=(COLUMNS, WIDTH)).astype(np.float32),
    )


def _ours(queries, candidates, positive=None, **options):
    positive = np.arange(len(queries)) if positive is None else positive
    return float(CandidateSoftmax()(tf.constant(queries), tf.constant(candidates), tf.constant(positive), **options))


def _library(queries, candidates, **options):
    return float(tfrs.tasks.Retrieval()(tf.constant(queries), tf.constant(candidates), **options)) / len(queries)


def _by_hand(scores, positive):
    return [np.log(np.exp(row).sum()) - row[column] for row, column in zip(scores, positive, strict=True)]


def test_equals_the_library_with_extra_negatives(vectors):
    assert _ours(*vectors) == pytest.approx(_library(*vectors), rel=1e-5)


def test_equals_the_library_with_logq_where_the_library_does_not_clip(vectors):
    probability = np.linspace(0.001, 0.3, COLUMNS).astype(np.float32)
    expected = _library(*vectors, candidate_sampling_probability=tf.constant(probability))
    assert expected != pytest.approx(_library(*vectors), rel=0.01)
    assert _ours(*vectors, candidate_log_probability=tf.constant(np.log(probability))) == pytest.approx(
        expected, rel=1e-5
    )


def test_equals_the_library_with_a_score_mask(vectors):
    mask = np.random.default_rng(1).random((QUERIES, COLUMNS)) < 0.5
    mask[np.arange(QUERIES), np.arange(QUERIES)] = True
    expected = _library(*vectors, score_mask=tf.constant(mask))
    assert expected != pytest.approx(_library(*vectors), rel=0.01)
    assert _ours(*vectors, score_mask=tf.constant(mask)) == pytest.approx(expected, rel=1e-5)


def test_logq_keeps_its_sign_and_size_below_the_librarys_clip():
    # two columns with equal scores, the negative drawn 1,000 times less often: it stands for 1,000 items
    queries, candidates = np.ones((1, 1), np.float32), np.ones((2, 1), np.float32)
    probability = np.array([1e-7, 1e-10], np.float32)
    logq = tf.constant(np.log(probability))
    assert _ours(queries, candidates, candidate_log_probability=logq) == pytest.approx(np.log(1001), rel=1e-4)
    clipped = _library(queries, candidates, candidate_sampling_probability=tf.constant(probability))
    assert clipped == pytest.approx(np.log(2), rel=1e-4)


def test_the_positive_may_stand_in_any_column(vectors):
    positive = np.array([8, 0, 3, 3, 5])
    expected = np.mean(_by_hand(vectors[0] @ vectors[1].T, positive))
    assert _ours(*vectors, positive) == pytest.approx(expected, rel=1e-5)


def test_a_score_offset_is_added_to_the_inner_products(vectors):
    offset = np.random.default_rng(2).normal(size=(QUERIES, COLUMNS)).astype(np.float32)
    expected = np.mean(_by_hand(vectors[0] @ vectors[1].T + offset, np.arange(QUERIES)))
    assert _ours(*vectors, score_offset=tf.constant(offset)) == pytest.approx(expected, rel=1e-5)


def test_weights_make_a_weighted_mean(vectors):
    weights = np.array([1, 3, 0, 2, 0.5], np.float32)
    expected = np.average(_by_hand(vectors[0] @ vectors[1].T, np.arange(QUERIES)), weights=weights)
    assert _ours(*vectors, sample_weight=tf.constant(weights)) == pytest.approx(expected, rel=1e-5)
    assert _ours(*vectors, sample_weight=tf.constant(10 * weights)) == pytest.approx(expected, rel=1e-5)


def test_no_weight_at_all_is_a_loss_of_zero(vectors):
    assert _ours(*vectors, sample_weight=tf.zeros([QUERIES])) == 0


def test_the_positive_is_never_masked(vectors):
    positive = np.array([8, 0, 3, 3, 5])
    nothing = tf.zeros([QUERIES, COLUMNS], tf.bool)
    assert _ours(*vectors, positive, score_mask=nothing) == pytest.approx(0, abs=1e-6)


def test_a_masked_column_has_no_influence_and_gets_no_gradient(vectors):
    mask = np.ones((QUERIES, COLUMNS), bool)
    mask[:, 7] = False
    candidates = tf.Variable(vectors[1])
    with tf.GradientTape() as tape:
        loss = CandidateSoftmax()(tf.constant(vectors[0]), candidates, tf.range(QUERIES), score_mask=tf.constant(mask))
    gradient = tape.gradient(loss, candidates).numpy()
    assert np.abs(gradient[7]).max() == 0
    assert np.abs(gradient[8]).max() > 0

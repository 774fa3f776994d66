"""The softmax loss against the library's own, and against sums written out."""

import numpy as np
import pytest

from towers.backend import keras, tf
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


def _ours(queries, candidates, positive=None, log_probability=None, offset=None, mask=None, **options):
    """Loss of candidates of which row q has its own at `positive[q]`, as the library has it at q."""
    positive = np.arange(len(queries)) if positive is None else positive
    others = np.arange(len(candidates))[None, :] != positive[:, None]
    options["score_mask"] = tf.constant(others if mask is None else others & mask)
    if log_probability is not None:
        options |= {"candidate_log_probability": tf.constant(log_probability)}
        options |= {"positive_log_probability": tf.constant(log_probability[positive])}
    if offset is not None:
        own = np.take_along_axis(offset, positive[:, None], 1)[:, 0]
        options |= {"score_offset": tf.constant(offset), "positive_offset": tf.constant(own)}
    softmax = CandidateSoftmax()
    return float(softmax(tf.constant(queries), tf.constant(candidates[positive]), tf.constant(candidates), **options))


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
    assert _ours(*vectors, log_probability=np.log(probability)) == pytest.approx(expected, rel=1e-5)


def test_equals_the_library_with_a_score_mask(vectors):
    mask = np.random.default_rng(1).random((QUERIES, COLUMNS)) < 0.5
    mask[np.arange(QUERIES), np.arange(QUERIES)] = True
    expected = _library(*vectors, score_mask=tf.constant(mask))
    assert expected != pytest.approx(_library(*vectors), rel=0.01)
    assert _ours(*vectors, mask=mask) == pytest.approx(expected, rel=1e-5)


def test_logq_keeps_its_sign_and_size_below_the_librarys_clip():
    # two columns with equal scores, the negative drawn 1,000 times less often: it stands for 1,000 items
    queries, candidates = np.ones((1, 1), np.float32), np.ones((2, 1), np.float32)
    probability = np.array([1e-7, 1e-10], np.float32)
    assert _ours(queries, candidates, log_probability=np.log(probability)) == pytest.approx(np.log(1001), rel=1e-4)
    clipped = _library(queries, candidates, candidate_sampling_probability=tf.constant(probability))
    assert clipped == pytest.approx(np.log(2), rel=1e-4)


def test_the_positive_may_stand_in_any_column(vectors):
    positive = np.array([8, 0, 3, 3, 5])
    expected = np.mean(_by_hand(vectors[0] @ vectors[1].T, positive))
    assert _ours(*vectors, positive) == pytest.approx(expected, rel=1e-5)


def test_a_score_offset_is_added_to_the_inner_products(vectors):
    offset = np.random.default_rng(2).normal(size=(QUERIES, COLUMNS)).astype(np.float32)
    expected = np.mean(_by_hand(vectors[0] @ vectors[1].T + offset, np.arange(QUERIES)))
    assert _ours(*vectors, offset=offset) == pytest.approx(expected, rel=1e-5)


def test_weights_make_a_weighted_mean(vectors):
    weights = np.array([1, 3, 0, 2, 0.5], np.float32)
    expected = np.average(_by_hand(vectors[0] @ vectors[1].T, np.arange(QUERIES)), weights=weights)
    assert _ours(*vectors, sample_weight=tf.constant(weights)) == pytest.approx(expected, rel=1e-5)
    assert _ours(*vectors, sample_weight=tf.constant(10 * weights)) == pytest.approx(expected, rel=1e-5)


def test_no_weight_at_all_is_a_loss_of_zero(vectors):
    assert _ours(*vectors, sample_weight=tf.zeros([QUERIES])) == 0


def test_the_positive_is_never_masked(vectors):
    positive = np.array([8, 0, 3, 3, 5])
    nothing = np.zeros((QUERIES, COLUMNS), bool)
    assert _ours(*vectors, positive, mask=nothing) == pytest.approx(0, abs=1e-6)


def test_a_masked_column_has_no_influence_and_gets_no_gradient(vectors):
    mask = np.ones((QUERIES, COLUMNS), bool)
    mask[:, 7] = False
    queries, candidates = tf.constant(vectors[0]), tf.Variable(vectors[1])
    with tf.GradientTape() as tape:
        loss = CandidateSoftmax()(queries, tf.constant(vectors[1][:5]), candidates, score_mask=tf.constant(mask))
    gradient = tape.gradient(loss, candidates).numpy()
    assert np.abs(gradient[7]).max() == 0
    assert np.abs(gradient[8]).max() > 0


def test_of_several_query_vectors_the_best_fitting_scores_a_candidate(vectors):
    queries = np.random.default_rng(3).normal(size=(QUERIES, 3, WIDTH)).astype(np.float32)
    scores = np.einsum("qmd,cd->qmc", queries, vectors[1]).max(axis=1)
    assert _ours(queries, vectors[1]) == pytest.approx(np.mean(_by_hand(scores, np.arange(QUERIES))), rel=1e-5)
    assert _ours(queries, vectors[1]) == pytest.approx(_library(queries, vectors[1]), rel=1e-5)


def test_the_loss_does_not_grow_with_the_batch(vectors):
    weights = np.array([1, 3, 0, 2, 0.5], np.float32)
    once = _ours(*vectors, sample_weight=tf.constant(weights))
    twice = _ours(
        np.concatenate([vectors[0]] * 2),
        vectors[1],
        np.tile(np.arange(QUERIES), 2),
        sample_weight=tf.constant(np.tile(weights, 2)),
    )
    assert twice == pytest.approx(once, rel=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_scores_are_worked_out_in_float32_whatever_the_towers_compute_in(vectors, policy):
    lowered = [tf.cast(v, policy.removeprefix("mixed_")) for v in vectors]
    exact = _ours(*(tf.cast(v, tf.float32).numpy() for v in lowered))
    offset = np.full((QUERIES, COLUMNS), 1e6, np.float32)  # beyond float16, and it cancels out in float32
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(policy)
    try:
        softmax = CandidateSoftmax()
        loss = softmax(
            lowered[0],
            lowered[1][:QUERIES],
            lowered[1],
            score_mask=tf.constant(~np.eye(QUERIES, COLUMNS, dtype=bool)),
            candidate_log_probability=tf.constant(offset[0]),
            positive_log_probability=tf.constant(offset[:, 0]),
        )
    finally:
        keras.mixed_precision.set_global_policy(before)
    assert loss.dtype == tf.float32
    assert float(loss) == pytest.approx(exact, abs=0.1)

"""The softmax loss against the library's own, gBCE against the paper's, and both against sums written out."""

import numpy as np
import pytest

from towers.backend import keras, tf
from towers.losses import CandidateSoftmax, GeneralisedBCE

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


def _gbce(queries, positives, candidates, t=0.75, negatives=3, items=12, **options):
    vectors = (tf.convert_to_tensor(v) for v in (queries, positives, candidates))
    return GeneralisedBCE(t, negatives, items)(*vectors, **options)


# 3 of 12 items are drawn, so that with t = .75 a positive counts 1 - .75 * (1 - 3 / 12) = .4375, and scores start at
# the odds of .4375 to 3. All items are worth as much more here: the positives of the two queries score 1 and -2, and
# the three candidates 0, 1, -1 and 2, 0, -2.
START = np.log(0.4375 / 3)
EXAMPLE = (
    np.array([[1, 0, 1], [0, 2, 1]], np.float32),
    np.array([[1, 5, -START], [7, -1, -START]], np.float32),
    np.array([[0, 1, -START], [1, 0, -START], [-1, -1, -START]], np.float32),
)
SURE, LIKELY, EVEN, UNLIKELY, HARDLY = 0.126928, 0.313262, 0.693147, 1.313262, 2.126928  # -log sigmoid of 2 to -2
FIRST = (0.4375 * LIKELY, EVEN + UNLIKELY + LIKELY)  # -log(1 - sigmoid(s)) is -log sigmoid(-s)
SECOND = (0.4375 * HARDLY, HARDLY + EVEN + SURE)


def test_gbce_of_two_queries_by_hand():
    assert float(_gbce(*EXAMPLE)) == pytest.approx((sum(FIRST) + sum(SECOND)) / 2, rel=1e-5)


def test_gbce_by_hand_with_weights_and_a_mask():
    weight, mask = tf.constant([1.0, 3.0]), tf.constant([[True, False, True], [False, True, True]])
    expected = (sum(FIRST) - UNLIKELY + 3 * (sum(SECOND) - HARDLY)) / 4
    assert float(_gbce(*EXAMPLE, sample_weight=weight, score_mask=mask)) == pytest.approx(expected, rel=1e-5)
    assert float(_gbce(*EXAMPLE, sample_weight=10 * weight, score_mask=mask)) == pytest.approx(expected, rel=1e-5)
    assert float(_gbce(*EXAMPLE, sample_weight=0 * weight)) == 0
    nothing = tf.zeros([2, 3], tf.bool)
    assert float(_gbce(*EXAMPLE, score_mask=nothing)) == pytest.approx((FIRST[0] + SECOND[0]) / 2, rel=1e-5)


def test_gbce_by_hand_with_offsets():
    offset, own = tf.constant([[0, 1, 0], [0, 0, 0]], tf.float32), tf.constant([0.0, 3.0])  # 2 for 1, 1 for -2
    expected = sum(FIRST) - UNLIKELY + HARDLY + 0.4375 * LIKELY + SECOND[1]
    assert float(_gbce(*EXAMPLE, score_offset=offset, positive_offset=own)) == pytest.approx(expected / 2, rel=1e-5)


def test_gbce_compares_each_of_several_positives_with_all_negatives():
    positives = EXAMPLE[1][:, None] + np.array(
        [[[0, 0, 0], [-2, 0, 0]], [[0, 0, 0], [0, 1.5, 0]]], np.float32
    )  # 1, -1; -2, 1
    weight = tf.constant([1.0, 2.0, 0.0, 4.0])
    first, second = FIRST[1], SECOND[1]
    expected = (0.4375 * LIKELY + first + 2 * (0.4375 * UNLIKELY + first) + 4 * (0.4375 * LIKELY + second)) / 7
    found = _gbce(EXAMPLE[0], positives, EXAMPLE[2], sample_weight=weight)
    assert float(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("t", [0, 0.75, 1])
def test_the_gradient_of_gbce_pulls_by_what_is_missing_and_pushes_by_what_is_thought_likely(t):
    beta = 1 - t * 0.9
    start = np.log(beta / 2)
    own, scores = (tf.Variable(np.array(of, np.float32)[:, None] - start) for of in ([0.5, -3], [0, 2, -1]))
    mask = tf.constant([[True, True, False], [True, True, False]])
    with tf.GradientTape() as tape:  # of queries of one number, 1, so that items are their scores
        loss = GeneralisedBCE(t, 2, 20)(tf.ones([2, 1], own.dtype), own, scores, score_mask=mask)
    pull, push = (gradient.numpy()[:, 0] for gradient in tape.gradient(loss, [own, scores]))
    np.testing.assert_allclose(pull, -beta / 2 / (1 + np.exp([0.5, -3.0])), rtol=1e-5)
    np.testing.assert_allclose(push, [0.5, 1 / (1 + np.exp(-2.0)), 0], rtol=1e-5)


def test_gbce_with_t_of_0_is_keras_binary_cross_entropy(vectors):
    queries, candidates = vectors
    mask = ~np.eye(QUERIES, COLUMNS, dtype=bool)
    found = float(_gbce(queries, candidates[:QUERIES], candidates, 0, 8, 100, score_mask=tf.constant(mask)))
    entropy = keras.losses.BinaryCrossentropy(from_logits=True, reduction="sum")
    logits = queries @ candidates.T - np.log(8)
    assert found == pytest.approx(float(entropy(~mask[..., None], logits[..., None])) / QUERIES, rel=1e-5)


@pytest.mark.parametrize("drawn", [1, 4, 16])
@pytest.mark.parametrize("t", [0.25, 0.75, 1])
def test_gbce_is_the_papers_cross_entropy_of_a_positive_converted_by_beta(vectors, drawn, t):
    queries, candidates = (v.astype(np.float64) for v in vectors)
    rate = drawn / 16
    beta = rate * (t * (1 - 1 / rate) + 1 / rate)
    start = np.log(beta / drawn)
    scores = queries @ candidates[QUERIES:].T + start
    own = np.einsum("qd,qd->q", queries, candidates[:QUERIES]) + start
    converted = -np.log((1 + np.exp(-own)) ** beta - 1)  # log(1 / (sigmoid(s)^-beta - 1))
    expected = np.log1p(np.exp(-converted)) + np.log1p(np.exp(scores)).sum(axis=1)
    found = _gbce(vectors[0], vectors[1][:QUERIES], vectors[1][QUERIES:], t, drawn, 16)
    assert float(found) == pytest.approx(expected.mean(), rel=1e-5)


def test_gbce_stays_finite_however_sure_scores_are():
    own, scores = tf.Variable([[-1e4]]), tf.Variable([[1e4], [-1e4]])
    with tf.GradientTape() as tape:
        loss = GeneralisedBCE(0.75, 2, 20)(tf.ones([1, 1]), own, scores)
    assert float(loss) == pytest.approx((1 - 0.75 * 0.9) * 1e4 + 1e4, rel=1e-3)
    assert all(np.isfinite(gradient).all() for gradient in tape.gradient(loss, [own, scores]))


def test_gbce_is_worked_out_in_float32_whatever_the_towers_compute_in(vectors):
    lowered = [tf.cast(v, tf.bfloat16) for v in vectors]
    exact = [tf.cast(v, tf.float32) for v in lowered]
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        found = _gbce(lowered[0], lowered[1][:QUERIES], lowered[1])
    finally:
        keras.mixed_precision.set_global_policy(before)
    assert found.dtype == tf.float32
    assert float(found) == pytest.approx(float(_gbce(exact[0], exact[1][:QUERIES], exact[1])), rel=1e-6)

"""Which columns are compared, with what correction, and that the correction does what it is for."""

import numpy as np
import pytest

from configs.stages import Negatives
from towers.backend import tf
from towers.losses import CandidateSoftmax
from towers.negatives import choose_columns

SHARE = np.array([0.5, 0.25, 0.25, 0.0], np.float32)


def _columns(target, uniform, share=SHARE, **settings):
    config = Negatives(**({"whole_catalogue_below": 0} | settings))
    return choose_columns(tf.constant(target, tf.int32), tf.constant(uniform, tf.int32), config, share)


def test_the_batchs_own_positives_stand_first_and_uniform_negatives_after_them():
    columns = _columns([0, 0, 1], [2, 3])
    np.testing.assert_array_equal(columns.items, [0, 0, 1, 2, 3])
    np.testing.assert_array_equal(columns.positive, [0, 1, 2])


def test_one_mixture_corrects_every_column():
    # 3 columns by share and 1 evenly of 4: q(j) = (3 share(j) + 1 / 4) / 4
    columns = _columns([0, 0, 1], [3])
    np.testing.assert_allclose(np.exp(columns.log_probability), [1.75 / 4, 1.75 / 4, 1 / 4, 0.25 / 4], rtol=1e-5)


def test_without_uniform_negatives_the_mixture_is_the_share():
    columns = _columns([0, 2], [])
    np.testing.assert_allclose(np.exp(columns.log_probability), [0.5, 0.25], rtol=1e-5)


def test_an_item_that_no_source_draws_still_has_a_finite_correction():
    assert np.isfinite(_columns([3], []).log_probability).all()


def test_a_small_catalogue_is_compared_whole_and_needs_no_correction():
    columns = _columns([2, 0], [1], whole_catalogue_below=4)
    assert columns.items is None
    assert columns.log_probability is None
    np.testing.assert_array_equal(columns.positive, [2, 0])


def test_the_correction_can_be_switched_off():
    assert _columns([0], [1], logq=False).log_probability is None


def _mean_gradient(logits: np.ndarray, share: np.ndarray, logq: bool, batches: int = 400) -> np.ndarray:
    """Mean gradient on the logits of one query that everyone is, over batches sampled by `share` and evenly."""
    rng = np.random.default_rng(5)
    variable, softmax, total = tf.Variable(logits[:, None]), CandidateSoftmax(), np.zeros(len(logits))
    for _ in range(batches):
        target = rng.choice(len(share), 8, p=share)
        columns = _columns(target, rng.integers(0, len(share), 8), share.astype(np.float32), logq=logq)
        with tf.GradientTape() as tape:
            loss = softmax(
                tf.ones([8, 1]),
                tf.gather(variable, columns.items),
                columns.positive,
                candidate_log_probability=columns.log_probability,
                score_mask=columns.items[None, :] != tf.constant(target, tf.int32)[:, None],
            )
        total += tf.convert_to_tensor(tape.gradient(loss, variable)).numpy()[:, 0]
    return total / batches


def test_logq_brings_the_sampled_gradient_to_that_of_the_whole_softmax():
    share = 1 / np.arange(1, 61)
    share /= share.sum()
    # at the whole softmax's optimum, log share, its gradient is zero; a sampled one must be nearly so
    optimum = np.log(share).astype(np.float32)
    corrected, plain = (_mean_gradient(optimum, share, logq) for logq in (True, False))
    assert np.abs(corrected).sum() < 0.12
    assert np.abs(plain).sum() > 0.4
    # and away from it, the gradient is softmax - share: here all logits are equal
    corrected, plain = (_mean_gradient(np.zeros(60, np.float32), share, logq) for logq in (True, False))
    expected = 1 / 60 - share
    assert np.corrcoef(corrected, expected)[0, 1] > 0.98
    assert np.abs(corrected - expected).sum() < 0.25 * np.abs(expected).sum()
    assert np.abs(plain - expected).sum() > 0.3 * np.abs(expected).sum()


def test_the_share_must_cover_the_catalogue_that_rows_point_into():
    with pytest.raises(tf.errors.InvalidArgumentError):
        _columns([4], [])

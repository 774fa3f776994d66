"""All encoders under one contract: causal, indifferent to padding, aware of order and time."""

import numpy as np
import pytest

from configs.stages import History
from towers.backend import tf
from towers.dropout import Randomness
from towers.history import history_encoder
from towers.recency import time_bucket

LENGTH, WIDTH = 5, 8
TIMES = np.array([100, 4_000, 90_000, 91_000, 900_000])
NOW = 1_000_000


def _encoder(kind, **changes):
    config = History(**{"encoder": kind, "length": LENGTH, "layers": 2, "heads": 2, **changes})
    encoder = history_encoder(config, WIDTH, Randomness(0))
    _run(encoder, _items())
    rng = np.random.default_rng(1)
    for variable in encoder.trainable_variables:  # biases start at zero and would hide what they are for
        variable.assign(rng.normal(scale=0.5, size=variable.shape))
    return encoder


@pytest.fixture(params=["mean", "gru", "transformer", "transformer with convolutions"])
def encoder(request):
    kind, _, convolved = request.param.partition(" with ")
    return _encoder(kind, convolution=3 if convolved else 0)


def _items(count=LENGTH):
    return np.random.default_rng(0).normal(size=(count, WIDTH)).astype(np.float32)


def _run(encoder, items, times=TIMES, mask=None, now=NOW):
    """All moments of one row, [L + 1, d]."""
    mask = np.ones(len(items), bool) if mask is None else np.asarray(mask)
    moment = np.append(times, now)
    inputs = [tf.constant(part)[None] for part in (items, mask, np.asarray(times), moment)]
    return encoder(*inputs).numpy()[0]


def test_a_changed_item_changes_no_moment_before_it(encoder):
    before = _run(encoder, _items())
    for j in range(LENGTH):
        changed = _items()
        changed[j, 0] += 3
        after = _run(encoder, changed)
        np.testing.assert_allclose(after[: j + 1], before[: j + 1], atol=1e-6)
        assert np.abs(after[j + 1 :] - before[j + 1 :]).max(axis=1).min() > 1e-4


def test_a_later_time_changes_no_moment_before_it(encoder):
    before = _run(encoder, _items())
    for j in range(1, LENGTH):
        times = TIMES.copy()
        times[j:] += 500_000
        after = _run(encoder, _items(), times, now=NOW + 500_000)
        np.testing.assert_allclose(after[:j], before[:j], atol=1e-6)
        assert np.abs(after[j] - before[j]).max() > 1e-5  # the moment itself is later


def test_the_moment_of_the_request_changes_the_last_vector_alone(encoder):
    before, after = _run(encoder, _items()), _run(encoder, _items(), now=100 * NOW)
    np.testing.assert_allclose(after[:-1], before[:-1], atol=1e-6)
    assert np.abs(after[-1] - before[-1]).max() > 1e-4


@pytest.mark.parametrize("known", [0, 1, 3, 5])
def test_padding_left_or_right_gives_the_same_last_vector(encoder, known):
    items, times = _items()[:known], TIMES[:known]
    junk = np.full((LENGTH - known, WIDTH), 7.0, np.float32)
    left = _run(
        encoder,
        np.concatenate([junk, items]),
        np.append(np.full(LENGTH - known, NOW), times),
        [False] * (LENGTH - known) + [True] * known,
    )[-1]
    right = encoder(
        tf.constant(np.concatenate([items, junk]))[None],
        tf.constant([[True] * known + [False] * (LENGTH - known)]),
        tf.constant(np.append(times, np.full(LENGTH - known, NOW)))[None],
        tf.constant(np.append(times, np.full(LENGTH - known + 1, NOW)))[None],
    ).numpy()[0, known]
    np.testing.assert_allclose(left, right, atol=1e-5)


def test_an_empty_history_answers_whatever_the_padding_holds(encoder):
    one, other = (
        _run(encoder, np.full((LENGTH, WIDTH), fill, np.float32), np.full(LENGTH, NOW), [False] * LENGTH)[-1]
        for fill in (0.0, 3.0)
    )
    assert np.isfinite(one).all()
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_order_matters(encoder):
    assert np.abs(_run(encoder, _items())[-1] - _run(encoder, _items()[::-1])[-1]).max() > 1e-3


def test_time_gaps_matter(encoder):
    near = np.array([NOW - 50, NOW - 40, NOW - 30, NOW - 20, NOW - 10])
    assert np.abs(_run(encoder, _items())[-1] - _run(encoder, _items(), near)[-1]).max() > 1e-3


def test_only_time_differences_matter(encoder):
    shifted = _run(encoder, _items(), TIMES + 1_600_000_000, now=NOW + 1_600_000_000)
    np.testing.assert_allclose(shifted, _run(encoder, _items()), atol=1e-6)


def test_histories_longer_than_the_encoders_length_are_read(encoder):
    items = _items(2 * LENGTH)
    assert np.isfinite(_run(encoder, items, np.arange(2 * LENGTH) * 100)).all()


@pytest.mark.parametrize("kind", ["mean", "gru", "transformer"])
def test_without_relative_time_only_the_order_matters(kind):
    encoder = _encoder(kind, relative_time=False)
    plain, later = _run(encoder, _items()), _run(encoder, _items(), TIMES // 7, now=100 * NOW)
    np.testing.assert_array_equal(later, plain)
    assert np.abs(_run(encoder, _items()[::-1])[-1] - plain[-1]).max() > 1e-3


@pytest.mark.parametrize("kind", ["mean", "transformer"])
def test_without_positions_items_of_one_moment_are_a_set(kind):
    same, swapped = np.full(LENGTH, NOW - 100), _items()[[1, 0, *range(2, LENGTH)]]  # a transformer asks as the last
    for position, equal in (("none", True), ("relative", False)):
        encoder = _encoder(kind, position=position, layers=1)  # in a second layer, causality tells the order
        one, other = (_run(encoder, items, same)[-1] for items in (_items(), swapped))
        assert np.allclose(one, other, atol=1e-5) == equal


def test_a_mean_that_knows_neither_position_nor_time_is_the_mean():
    encoder = _encoder("mean", position="none", relative_time=False)
    start, items = encoder.start.numpy()[0], _items()
    expected = [np.concatenate([start, items[:n]]).mean(axis=0) for n in range(LENGTH + 1)]
    np.testing.assert_allclose(_run(encoder, items), expected, atol=1e-5)


def test_a_gru_is_the_librarys_cell_step_by_step():
    encoder = _encoder("gru")
    elapsed, cells = encoder.pace.elapsed.embeddings.numpy(), [layer.cell for layer in encoder.recurrent]
    states, outputs = [tf.zeros([1, WIDTH])] * 2, [np.zeros(WIDTH)]
    for item, since in zip(_items(), np.diff(np.append(TIMES, NOW)), strict=True):
        value = tf.constant(item + elapsed[time_bucket(tf.constant(since))])[None]
        for layer, cell in enumerate(cells):
            value, states[layer] = cell(value, states[layer])
        outputs.append(value.numpy()[0])
    np.testing.assert_allclose(_run(encoder, _items()), outputs, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "dropout", "random"),
    [
        ("gru", 0.1, True),
        ("transformer", 0.1, True),
        ("gru", 0.0, False),
        ("transformer", 0.0, False),
        ("mean", 0.1, False),
    ],
)
def test_what_is_inside_an_encoder_is_random_only_in_training_and_with_dropout(kind, dropout, random):
    encoder = _encoder(kind, dropout=dropout)
    inputs = [tf.constant(part)[None] for part in (_items(), np.ones(LENGTH, bool), TIMES, np.append(TIMES, NOW))]
    still, trained = encoder(*inputs, training=False).numpy(), encoder(*inputs, training=True).numpy()
    np.testing.assert_array_equal(still, encoder(*inputs, training=False).numpy())
    np.testing.assert_array_equal(trained, encoder(*inputs, training=True).numpy())  # keyed by the step
    assert (np.abs(still - trained).max() > 1e-3) == random


def test_time_buckets_double_in_width():
    elapsed = [-5, 0, 1, 2, 3, 6, 7, 62, 64, 2**20, 2**40]
    assert time_bucket(tf.constant(elapsed, tf.int64)).numpy().tolist() == [0, 0, 1, 1, 2, 2, 3, 5, 6, 20, 31]

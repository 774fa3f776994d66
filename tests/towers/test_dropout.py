import numpy as np
import pytest

from towers.backend import tf
from towers.dropout import Randomness, StepDropout, StepHide


def _mask(layer):
    return layer(tf.ones([40, 50]), training=True).numpy() > 0


def test_a_mask_depends_on_seed_and_step_alone():
    def masks(seed, steps):
        randomness = Randomness(seed)
        layers = [StepDropout(0.5, randomness) for _ in range(2)]
        found = []
        for step in steps:
            randomness.step.assign(step)
            found.append([_mask(layer) for layer in layers])
        return np.array(found)

    whole, resumed = masks(3, [0, 1, 2]), masks(3, [2])
    np.testing.assert_array_equal(whole[2], resumed[0])
    assert (masks(4, [2]) != resumed).mean() > 0.4


def test_masks_differ_between_layers_and_between_steps():
    randomness = Randomness(0)
    first, second = StepDropout(0.5, randomness), StepDropout(0.5, randomness)
    before = _mask(first)
    assert (_mask(second) != before).mean() > 0.4
    randomness.step.assign_add(1)
    assert (_mask(first) != before).mean() > 0.4


def test_two_calls_within_a_step_drop_the_same():
    layer = StepDropout(0.5, Randomness(0))
    np.testing.assert_array_equal(_mask(layer), _mask(layer))


def test_what_is_kept_makes_up_for_what_is_dropped():
    dropped = StepDropout(0.25, Randomness(0))(tf.ones([200, 200]), training=True).numpy()
    assert set(np.unique(dropped)) == {np.float32(0), np.float32(1 / 0.75)}
    assert dropped.mean() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(("rate", "training"), [(0.5, False), (0.0, True)])
def test_nothing_is_dropped_outside_training_or_at_rate_zero(rate, training):
    inputs = tf.random.normal([5, 5])
    np.testing.assert_array_equal(StepDropout(rate, Randomness(0))(inputs, training=training), inputs)


def test_whole_numbers_depend_on_seed_and_step_and_reach_beyond_what_float32_holds():
    def drawn(step, stream=1):
        randomness = Randomness(0)
        randomness.step.assign(step)
        return randomness.integers(stream, [20_000], 2**30).numpy()

    np.testing.assert_array_equal(drawn(4), drawn(4))
    assert (drawn(4) != drawn(5)).mean() > 0.99
    assert (drawn(4) != drawn(4, stream=2)).mean() > 0.99
    low = drawn(4) % 8  # multiples of 64 or so, were they float32
    np.testing.assert_allclose(np.bincount(low, minlength=8) / len(low), [0.125] * 8, atol=0.02)


def test_entries_are_hidden_at_the_rate_anew_at_each_step_and_in_training_alone():
    randomness = Randomness(0)
    hide, mask = StepHide(0.3, randomness), tf.constant(np.arange(20_000).reshape(100, 200) % 2 == 0)
    first = hide(mask, training=True).numpy()
    assert 0.28 < 1 - first.sum() / mask.numpy().sum() < 0.32
    assert not (first & ~mask.numpy()).any()
    np.testing.assert_array_equal(hide(mask, training=True), first)
    randomness.step.assign_add(1)
    assert (hide(mask, training=True).numpy() != first).any()
    np.testing.assert_array_equal(hide(mask), mask)

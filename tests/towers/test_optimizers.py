"""Optimizers by name; and that lazy Adam is Adam on the rows that are read, and touches no other."""

import numpy as np
import pytest

from towers.backend import keras, tf
from towers.optimizers import BY_ROWS, Average, LazyAdam, optimizer


def _train(made, reads):
    """Rows of a table after steps that read the given rows, towards 1."""
    table = tf.Variable(np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3))
    after = [table.numpy().copy()]
    made.build([table])
    for rows in reads:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(tf.gather(table, rows) - 1.0))
        made.apply_gradients([(tape.gradient(loss, table), table)])
        after.append(table.numpy().copy())
    return after


def test_lazy_adam_is_adam_where_every_row_is_read():
    reads = [[0, 1, 2, 3], [3, 2, 1, 0, 0], [0, 1, 2, 3]]
    for ours, theirs in zip(_train(LazyAdam(0.1), reads), _train(keras.optimizers.Adam(0.1), reads), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_lazy_adam_leaves_alone_what_is_not_read():
    reads = [[0, 1], [1, 1], [0]]
    lazy, eager = _train(LazyAdam(0.1), reads), _train(keras.optimizers.Adam(0.1), reads)
    for rows, before, after in zip(reads, lazy, lazy[1:], strict=False):
        moved = (before != after).any(axis=1)
        np.testing.assert_array_equal(np.flatnonzero(moved), np.unique(rows))
    assert (eager[1][0] != eager[2][0]).any()  # Keras' Adam moves row 0 on, though the second step does not read it


@pytest.mark.parametrize("name", ["adam", "lazy_adam", "adagrad"])
def test_each_optimizer_goes_where_the_gradient_points(name):
    made = optimizer(name, 0.1, "float32")
    after = _train(made, [[0, 1, 2, 3]] * 100)
    assert np.abs(after[-1] - 1).max() < 0.5 * np.abs(after[0] - 1).max()
    assert (np.abs(after[1] - after[0]) < 0.11).all()


def test_adagrad_does_not_depend_on_the_size_of_the_gradients():
    table = tf.Variable([0.0, 0.0])
    made = optimizer("adagrad", 0.1, "float32")
    made.build([table])
    made.apply_gradients([(tf.constant([1e-2, 1.0]), table)])
    np.testing.assert_allclose(table.numpy(), -0.1, rtol=1e-3)


def test_float16_scales_the_loss():
    assert isinstance(optimizer("adam", 0.1, "mixed_float16"), keras.mixed_precision.LossScaleOptimizer)
    assert not isinstance(optimizer("adam", 0.1, "mixed_bfloat16"), keras.mixed_precision.LossScaleOptimizer)


def _weights():
    rng = np.random.default_rng(0)
    return [tf.Variable(rng.normal(size=shape).astype(np.float32)) for shape in ((6, 3), (4, 2), (3,))]


def _gradients(weights, rows):
    """Of a table read by `rows`, of another read whole, and of a vector."""
    with tf.GradientTape() as tape:
        table, other, vector = weights
        loss = tf.reduce_sum(tf.square(tf.gather(table, rows) * vector)) + tf.reduce_sum(tf.square(other))
    return tape.gradient(loss, weights)


STEPS = [[0, 1], [1, 1, 4], [0], [5], [1, 0], [2]] * 4


@pytest.mark.parametrize("name", ["adam", "lazy_adam", "adagrad"])
def test_an_average_by_rows_is_the_average_of_all_at_every_step(name):
    weights, made = _weights(), optimizer(name, 0.05, "float32")
    made.build(weights)
    average = Average(weights, 0.8, name in BY_ROWS)
    by_hand = [weight.numpy().astype(np.float64) for weight in weights]
    for number, rows in enumerate(STEPS, 1):
        gradients = _gradients(weights, rows)
        average.before(gradients)
        made.apply_gradients(zip(gradients, weights, strict=True))
        average.after(gradients)
        keep = min(0.8, (1 + number) / (10 + number))
        by_hand = [keep * old + (1 - keep) * new.numpy() for old, new in zip(by_hand, weights, strict=True)]
        if number in (3, 9, len(STEPS)):  # looked at in between, it goes on all the same
            before = [weight.numpy().copy() for weight in weights]
            average.swap()
            for found, expected in zip(weights, by_hand, strict=True):
                np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)
            average.swap()
            for found, expected in zip(weights, before, strict=True):
                np.testing.assert_array_equal(found.numpy(), expected)


def test_an_average_begun_anew_forgets_what_rested():
    weights = _weights()
    average = Average(weights, 0.9, by_rows=True)
    for rows in ([0], [1]):
        gradients = _gradients(weights, rows)
        average.before(gradients)
        weights[0].scatter_sub(gradients[0])
        average.after(gradients)
    average.restart()
    held = [weight.numpy().copy() for weight in weights]
    average.swap()
    for found, expected in zip(weights, held, strict=True):
        np.testing.assert_array_equal(found.numpy(), expected)


def test_an_average_by_rows_touches_no_row_that_rests():
    weights = _weights()
    average = Average(weights, 0.9, by_rows=True)
    held = weights[0].numpy().copy()
    weights[0].assign_add(tf.ones([6, 3]))  # as no step does; a pass over the table would take it in
    gradients = _gradients(weights, [2])
    average.before(gradients)
    average.after(gradients)
    moved = (average.averages[0].numpy() != held).any(axis=1)
    np.testing.assert_array_equal(np.flatnonzero(moved), [2])

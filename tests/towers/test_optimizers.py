"""Optimizers by name; and that lazy Adam is Adam on the rows that are read, and touches no other."""

import numpy as np
import pytest

from towers.backend import keras, tf
from towers.optimizers import LazyAdam, optimizer


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

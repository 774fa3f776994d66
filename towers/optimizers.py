"""What moves the weights: optimizers by name, and a moving average of what they arrive at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from towers.backend import keras, tf


class LazyAdam(keras.optimizers.Adam):
    """Adam that leaves alone the rows of an embedding that a step has no gradient for, and their moments.

    As `tfa.optimizers.LazyAdam`. Keras' Adam lets the moments of all rows decay and moves all rows at every step, at
    the cost of several passes over the whole table.
    """

    def update_step(self, gradient: tf.Tensor | tf.IndexedSlices, variable: tf.Variable) -> None:
        """Move `variable`; as in Keras where the gradient is dense."""
        if not isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable)
            return
        place = self._index_dict[self._var_key(variable)]
        rows, values = gradient.indices, gradient.values
        moved = []
        for moment, beta, new in (
            (self._momentums[place], self.beta_1, values),
            (self._velocities[place], self.beta_2, tf.square(values)),
        ):
            old = tf.gather(moment, rows)
            moved.append(old + (new - old) * (1 - beta))
            moment.scatter_update(tf.IndexedSlices(moved[-1], rows))
        step = tf.cast(self.iterations + 1, variable.dtype)
        unbiased = tf.sqrt(1 - tf.pow(self.beta_2, step)) / (1 - tf.pow(self.beta_1, step))
        rate = tf.cast(self.learning_rate, variable.dtype) * unbiased
        variable.scatter_sub(tf.IndexedSlices(rate * moved[0] / (tf.sqrt(moved[1]) + self.epsilon), rows))


def optimizer(name: str, learning_rate: Any, precision: str) -> keras.optimizers.Optimizer:
    """The optimizer that the config names; under float16 with a loss scale that keeps small gradients above zero."""
    if name == "adagrad":  # the gradients of a mean are small: Keras' start of 0.1 would outweigh them for epochs
        made = keras.optimizers.Adagrad(learning_rate, initial_accumulator_value=1e-8)
    else:
        made = {"adam": keras.optimizers.Adam, "lazy_adam": LazyAdam}[name](learning_rate)
    return keras.mixed_precision.LossScaleOptimizer(made) if precision == "mixed_float16" else made


class Average(tf.Module):
    """Exponential moving average of `weights`, of which each step keeps `decay`; less of it in the first steps.

    Polyak and Juditsky, 1992; the start as in TensorFlow's ExponentialMovingAverage, min(decay, (1 + n) / (10 + n))
    after n steps.
    """

    def __init__(self, weights: Sequence[tf.Variable], decay: float) -> None:
        super().__init__()
        self._weights, self._decay = list(weights), decay
        self.averages = [tf.Variable(weight, trainable=False) for weight in weights]
        self.steps = tf.Variable(0, dtype=tf.int64, trainable=False)  # taken in since it began

    def update(self) -> None:
        """Take in the weights as they are after one more step."""
        done = tf.cast(self.steps.assign_add(1), tf.float32)
        keep = tf.minimum(self._decay, (1 + done) / (10 + done))
        for average, weight in zip(self.averages, self._weights, strict=True):
            average.assign_sub((average - weight) * (1 - keep))

    def swap(self) -> None:
        """Exchange weights and averages; twice changes nothing."""
        for average, weight in zip(self.averages, self._weights, strict=True):
            held = weight.numpy().copy()  # a view would follow the variable
            weight.assign(average)
            average.assign(held)

    def restart(self) -> None:
        """Begin anew from the weights as they are, moving as fast as at first."""
        self.steps.assign(0)
        for average, weight in zip(self.averages, self._weights, strict=True):
            average.assign(weight)

"""What moves the weights: optimizers by name, and a moving average of what they arrive at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

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


BY_ROWS = ("lazy_adam", "adagrad")  # which move the rows of a table that have a gradient, and no other


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
    after n steps. `by_rows`: a step moves only those rows of a table that it has a gradient for. Where the others rest
    is known, and so how far their average would go on towards that: it does so when they move again, or are asked for.
    """

    def __init__(self, weights: Sequence[tf.Variable], decay: float, by_rows: bool) -> None:
        super().__init__()
        self._weights, self._decay = list(weights), decay
        self.averages = [tf.Variable(weight, trainable=False) for weight in weights]
        self.steps = tf.Variable(0, dtype=tf.int64, trainable=False)  # taken in since it began
        self.kept = tf.Variable(0, dtype=tf.float64, trainable=False)  # log of the share of what it began with
        self.kept_then = {  # the same when a row of a table was last brought up to date
            str(place): tf.Variable(tf.zeros(weight.shape[0], tf.float64), trainable=False)
            for place, weight in enumerate(weights)
            if by_rows and weight.shape.rank == 2
        }

    def before(self, gradients: Sequence[tf.Tensor | tf.IndexedSlices]) -> None:
        """Bring up to date what is about to move by these gradients, one a weight."""
        for place, gradient in enumerate(gradients):
            if self._moves_rows(place, gradient):
                self._bring_up(place, tf.unique(gradient.indices)[0])

    def after(self, gradients: Sequence[tf.Tensor | tf.IndexedSlices]) -> None:
        """Take in the weights as they are once they have moved."""
        done = tf.cast(self.steps.assign_add(1), tf.float32)
        keep = tf.minimum(self._decay, (1 + done) / (10 + done))
        kept = self.kept.assign_add(tf.math.log(tf.cast(keep, tf.float64)))
        for place, gradient in enumerate(gradients):
            average, weight = self.averages[place], self._weights[place]
            if self._moves_rows(place, gradient):
                rows = tf.unique(gradient.indices)[0]
                late = tf.gather(average, rows) - tf.gather(weight, rows)
                average.scatter_sub(tf.IndexedSlices(late * (1 - keep), rows))
                self.kept_then[str(place)].scatter_update(tf.IndexedSlices(tf.fill(tf.shape(rows), kept), rows))
            else:
                average.assign_sub((average - weight) * (1 - keep))
                if (then := self.kept_then.get(str(place))) is not None:
                    then.assign(tf.fill(tf.shape(then), kept))

    def swap(self) -> None:
        """Exchange weights and averages; twice changes nothing."""
        self._catch_up()
        for average, weight in zip(self.averages, self._weights, strict=True):
            held = weight.numpy().copy()  # a view would follow the variable
            weight.assign(average)
            average.assign(held)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within the block the weights are their averages."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def restart(self) -> None:
        """Begin anew from the weights as they are, moving as fast as at first."""
        self.steps.assign(0)
        self.kept.assign(0)
        for average, weight in zip(self.averages, self._weights, strict=True):
            average.assign(weight)
        for then in self.kept_then.values():
            then.assign(tf.zeros_like(then))

    def _moves_rows(self, place: int, gradient: tf.Tensor | tf.IndexedSlices) -> bool:
        return str(place) in self.kept_then and isinstance(gradient, tf.IndexedSlices)

    def _bring_up(self, place: int, rows: tf.Tensor) -> None:
        """Let the average of rows that have rested go on towards where they rest, as far as it would have gone."""
        average, weight, then = self.averages[place], self._weights[place], self.kept_then[str(place)]
        rest = tf.gather(weight, rows)
        share = tf.cast(tf.exp(self.kept - tf.gather(then, rows)), weight.dtype)[:, None]
        average.scatter_update(tf.IndexedSlices(rest + (tf.gather(average, rows) - rest) * share, rows))

    def _catch_up(self) -> None:
        """Bring up what has rested until now."""
        for place, then in self.kept_then.items():
            self._bring_up(int(place), tf.constant(np.flatnonzero(then.numpy() != self.kept.numpy())))
            then.assign(tf.fill(tf.shape(then), self.kept))

"""Dropout whose masks depend on (seed, step) alone, so that a resumed training repeats them.

Keras 2 Dropout keeps its random state outside checkpoints and restarts it.
"""

from __future__ import annotations

from collections.abc import Sequence

from towers.backend import keras, tf


class Randomness:
    """Hands out independent stateless seeds that change with every training step.

    `step` is an int64 variable that the training loop advances and checkpoints.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self._streams = 0

    def stream(self) -> int:
        """A number of its own for each layer that draws."""
        self._streams += 1
        return self.seed * 1009 + self._streams

    def draw(self, stream: int, shape: tf.Tensor) -> tf.Tensor:
        """Uniform numbers in [0, 1) for this stream at the current step."""
        return tf.random.stateless_uniform(shape, self._key(stream))

    def integers(self, stream: int, shape: Sequence[int] | tf.Tensor, below: int | tf.Tensor) -> tf.Tensor:
        """Whole numbers from 0 to `below`, exclusive, each as likely; int32, for counts that float32 cannot hold."""
        return tf.random.stateless_uniform(shape, self._key(stream), minval=0, maxval=below, dtype=tf.int32)

    def _key(self, stream: int) -> tf.Tensor:
        return tf.stack([tf.constant(stream, tf.int64), self.step])


class StepDropout(keras.layers.Layer):
    """Inverted dropout keyed by the training step; the identity outside training."""

    def __init__(self, rate: float, randomness: Randomness) -> None:
        super().__init__()
        self._rate = rate
        self._draw = randomness.draw
        self._stream = randomness.stream()

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Same shape as `inputs`."""
        if not training or self._rate == 0:
            return inputs
        keep = self._draw(self._stream, tf.shape(inputs)) >= self._rate
        return tf.where(keep, inputs / (1 - self._rate), tf.zeros_like(inputs))


class StepHide(keras.layers.Layer):
    """Turns entries of a mask off at random, keyed by the training step; the identity outside training."""

    def __init__(self, rate: float, randomness: Randomness) -> None:
        super().__init__()
        self._rate = rate
        self._draw = randomness.draw
        self._stream = randomness.stream()

    def call(self, mask: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Same shape as `mask`, bool."""
        if not training:
            return mask
        return mask & (self._draw(self._stream, tf.shape(mask)) >= self._rate)

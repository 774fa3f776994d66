"""The retrieval recipe of the TFRS tutorial "basic_retrieval", from ids alone: the peer of `tests.bench.training`.

A data set of single examples of strings, shuffled, batched and cached; StringLookup and an embedding for each tower;
in-batch negatives; Adagrad at 0.1. The tutorial computes `FactorizedTopK` in every training step; that is left out
unless asked for, as it costs many times the step and teaches nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from towers.backend import keras, tf

# isort: split
import tensorflow_recommenders as tfrs  # after the backend, which picks the Keras that it needs

SHUFFLE, RATE = 100_000, 0.1


class Tutorial(tfrs.Model):
    """Embeddings of `width` for the ids `users` and `items`, and an in-batch softmax."""

    def __init__(self, users: np.ndarray, items: np.ndarray, width: int, metrics: bool) -> None:
        super().__init__()
        self.users, self.items = _tower(users, width), _tower(items, width)
        self._compute = metrics
        candidates = tf.data.Dataset.from_tensor_slices(items).batch(128).map(self.items)
        self.task = tfrs.tasks.Retrieval(metrics=tfrs.metrics.FactorizedTopK(candidates) if metrics else None)

    def compute_loss(self, features: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """The task's loss of a batch of positive pairs."""
        users, items = self.users(features["user_id"]), self.items(features["item_id"])
        return self.task(users, items, compute_metrics=self._compute)


def _tower(vocabulary: np.ndarray, width: int) -> keras.Model:
    lookup = keras.layers.StringLookup(vocabulary=list(vocabulary), mask_token=None)
    return keras.Sequential([lookup, keras.layers.Embedding(len(vocabulary) + 1, width)])


class _Clock(keras.callbacks.Callback):
    """Seconds of each epoch, without what `after` does between them; ends the fit when `after` says False."""

    def __init__(self, after: Callable[[float], bool]) -> None:
        super().__init__()
        self._after, self._started = after, 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Start the clock."""
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Stop it and look at the model."""
        self.model.stop_training = not self._after(time.perf_counter() - self._started)


def fit_tutorial(
    model: Tutorial, users: np.ndarray, items: np.ndarray, batch: int, epochs: int, after: Callable[[float], bool]
) -> None:
    """Fit on positive pairs, ids [n] strings each, as the tutorial does; `after` gets the seconds of each epoch."""
    examples = tf.data.Dataset.from_tensor_slices({"user_id": users, "item_id": items})
    model.compile(optimizer=keras.optimizers.Adagrad(learning_rate=RATE))
    _trace(model, examples.take(batch).batch(batch).cache())
    cached = examples.shuffle(SHUFFLE).batch(batch).cache()
    model.fit(cached, epochs=epochs, callbacks=[_Clock(after)], verbose=0)


def _trace(model: Tutorial, data: tf.data.Dataset) -> None:
    """Let Keras make its graphs, and undo the step that it takes for that."""
    model.users(tf.constant(["a"])), model.items(tf.constant(["a"]))
    model.optimizer.build(model.trainable_variables)
    variables = [*model.trainable_variables, *model.optimizer.variables]
    before = [variable.numpy().copy() for variable in variables]
    model.fit(data, verbose=0)
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)

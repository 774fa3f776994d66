"""Fitting the towers: epochs with checkpoints that resume exactly, early stopping on candidate recall."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.examples import Batch, Examples
from pipelines.progress import Progress
from towers.backend import keras, tf
from towers.retrieval import Log, TwoTower

Scalars = Mapping[str, float]
RATE_CUT = 0.5
Rate = Any  # a float, or a Keras LearningRateSchedule, which is untyped


@dataclass(frozen=True)
class Fitted:
    """Outcome of a fit: the best epoch (from 1), its validation recall, and the epochs run."""

    best_epoch: int
    best_recall: float
    epochs: int


class Trainer:
    """Fits towers on examples, one epoch at a time.

    A checkpoint after every epoch holds weights, optimizer and counters; since examples and dropout are drawn from
    (seed, epoch, step), a fit that is killed and started again ends where an undisturbed one ends.
    """

    def __init__(self, model: TwoTower, examples: Examples, log: Log, learning_rate: Rate, folder: Path) -> None:
        self._model, self._examples = model, examples
        self._optimizer = keras.optimizers.Adam(learning_rate)
        self._epoch = tf.Variable(0, dtype=tf.int64)
        self._best_epoch = tf.Variable(0, dtype=tf.int64)
        self._best_recall = tf.Variable(-1.0, dtype=tf.float64)
        checkpoint = tf.train.Checkpoint(
            model=model,
            optimizer=self._optimizer,
            step=model.randomness.step,
            epoch=self._epoch,
            best_epoch=self._best_epoch,
            best_recall=self._best_recall,
        )
        self._manager = tf.train.CheckpointManager(checkpoint, str(folder / "checkpoint"), max_to_keep=1)
        self._best = folder / "best"
        self._step = self._compile(log.on_device())

    def _compile(self, log: Log) -> Callable[[dict[str, tf.Tensor]], tf.Tensor]:
        # one trace for all shapes: a second trace may round otherwise, and a resumed fit would end elsewhere
        @tf.function(input_signature=[_signature(next(self._examples.epoch(0)))])
        def step(batch: dict[str, tf.Tensor]) -> tf.Tensor:
            with tf.GradientTape() as tape:
                loss = self._model.loss(batch, log)
            weights = self._model.trainable_variables
            self._optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
            self._model.randomness.step.assign_add(1)
            return loss

        return step

    def fit(
        self,
        max_epochs: int,
        patience: int,
        validate: Callable[[], Scalars],
        progress: Progress,
        record: Callable[[int, Scalars], None],
    ) -> Fitted:
        """Train until `recall` of `validate()` has not risen for `patience` epochs; keep the best weights.

        An epoch without a rise is undone, and the next goes on from the best weights at a lower rate: towers that
        end at a full rate are noisy, and what is built on their scores is then unfit for refitted, settled ones.
        """
        self._resume()
        while int(self._epoch) < max_epochs and int(self._epoch) - int(self._best_epoch) < patience:
            scalars = self._run_epoch(progress) | dict(validate())
            epoch = int(self._epoch.assign_add(1))
            if scalars["recall"] > float(self._best_recall):
                self._best_recall.assign(scalars["recall"])
                self._best_epoch.assign(epoch)
                save_weights(self._model, self._best)
            else:
                load_weights(self._model, self._best)
                self._optimizer.learning_rate.assign(self._optimizer.learning_rate * RATE_CUT)
            self._manager.save()
            record(epoch, scalars)
        load_weights(self._model, self._best)
        return Fitted(int(self._best_epoch), float(self._best_recall), int(self._epoch))

    def fit_fixed(self, epochs: int, progress: Progress, record: Callable[[int, Scalars], None]) -> None:
        """Train for a number of epochs decided beforehand: a refit, which nothing may be chosen on."""
        self._resume()
        while int(self._epoch) < epochs:
            scalars = self._run_epoch(progress)
            epoch = int(self._epoch.assign_add(1))
            self._manager.save()
            record(epoch, scalars)

    def _resume(self) -> None:
        if self._manager.latest_checkpoint:
            self._optimizer.build(self._model.trainable_variables)
            self._manager.restore_or_initialize()

    def _run_epoch(self, progress: Progress) -> dict[str, float]:
        started, losses, examples = time.perf_counter(), [], 0
        progress.expect(self._examples.steps(), f"epoch {int(self._epoch) + 1}")
        for batch in self._examples.epoch(int(self._epoch)):
            losses.append(self._step({key: tf.constant(value) for key, value in batch.items()}))
            examples += int((batch["weight"] > 0).sum())
            progress.advance()
        seconds = time.perf_counter() - started
        return {"loss": float(np.mean(losses)), "examples_per_second": examples / seconds}


def _signature(batch: Batch) -> dict[str, tf.TensorSpec]:
    """Shapes of a batch with all sizes left open that change from batch to batch."""
    specs = {}
    for name, value in batch.items():
        open_dimensions = 1 if name in ("seen", "negatives") or name.startswith("static/") else 2
        shape = [None] * open_dimensions + list(value.shape[open_dimensions:])
        specs[name] = tf.TensorSpec(shape, value.dtype)
    return specs


def save_weights(model: TwoTower, folder: Path) -> None:
    """Write the weights of a model alone."""
    folder.mkdir(parents=True, exist_ok=True)
    tf.train.Checkpoint(model=model).write(str(folder / "weights"))


def load_weights(model: TwoTower, folder: Path) -> None:
    """Read what `save_weights` wrote into a model of the same config."""
    tf.train.Checkpoint(model=model).read(str(folder / "weights")).expect_partial()

"""Fitting the towers: epochs with checkpoints that resume exactly, early stopping on candidate recall."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from google.protobuf import text_format

from configs.errors import DivergedError
from configs.stages import Train
from pipelines.examples import Batch, Examples
from pipelines.files import put_back, remove_whole, replaced_whole
from pipelines.progress import Progress
from pipelines.step import Rate, Step
from towers.backend import keras, tf
from towers.retrieval import Log, TwoTower

Scalars = Mapping[str, float]
_AHEAD = 2  # batches
_CALMER = "lower train.learning_rate, or raise towers.temperature"
_CHECKPOINT, _DAMAGED = "checkpoint", "checkpoint.damaged"
USED_UP = (_CHECKPOINT, _DAMAGED)  # folders of a fit that nobody needs when it is over
_OBJECTS, _BEST_EPOCH = "_CHECKPOINTABLE_OBJECT_GRAPH", "best_epoch/.ATTRIBUTES/VARIABLE_VALUE"  # names in one
_NO_NEWS = re.compile(r"\{\{.*?\}\} | \[Op:\w+\]")  # what TensorFlow says of itself


@dataclass(frozen=True)
class Fitted:
    """Outcome of a fit: the best epoch (from 1), its validation recall, and the epochs run."""

    best_epoch: int
    best_recall: float
    epochs: int


class Trainer:
    """Fits towers on examples, one epoch at a time.

    Checkpoints, after every epoch and every so many steps within it, hold weights, optimizer and counters; since
    examples and dropout are drawn from (seed, epoch, step), a fit that is killed and started again ends where an
    undisturbed one ends; where a checkpoint is damaged it is put aside, and the fit starts from the first epoch.
    Batches are assembled while the step before is at work.
    """

    def __init__(
        self, model: TwoTower, examples: Examples, log: Log, learning_rate: Rate, folder: Path, train: Train
    ) -> None:
        self._model, self._examples = model, examples
        self._every, self._rate_cut = train.checkpoint_every, train.rate_cut
        self._step = Step(model, log, train, learning_rate, next(examples.epoch(0)))
        self._epoch, self._done, self._best_epoch = (tf.Variable(0, dtype=tf.int64) for _ in range(3))
        self._total_loss, self._best_recall = (tf.Variable(start, dtype=tf.float64) for start in (0.0, -1.0))
        self._checkpoint = tf.train.Checkpoint(
            **self._step.state(),
            epoch=self._epoch,
            done=self._done,  # steps of the epoch under way
            total_loss=self._total_loss,  # of those
            best_epoch=self._best_epoch,
            best_recall=self._best_recall,
        )
        self._best = folder / "best"
        put_back(self._best)
        self._last, self._damage = None, ""
        try:
            self._last = _last_checkpoint(folder / _CHECKPOINT, self._best)
        except _Damaged as damage:
            self._damage = str(damage)
            remove_whole(folder / _DAMAGED)
            (folder / _CHECKPOINT).rename(folder / _DAMAGED)
        self._manager = tf.train.CheckpointManager(self._checkpoint, str(folder / _CHECKPOINT), max_to_keep=1)

    def fit(
        self,
        max_epochs: int,
        patience: int,
        validate: Callable[[], Scalars],
        progress: Progress,
        record: Callable[[int, Scalars], None],
        before_epoch: Callable[[int], None] | None = None,
    ) -> Fitted:
        """Train until `recall` of `validate()` has not risen for `patience` epochs; keep the best weights.

        `before_epoch` is called with the number of each epoch (from 0) before it starts.

        An epoch without a rise is undone, and the next goes on from the best weights at a lower rate: towers that
        end at a full rate are noisy, and what is built on their scores is then unfit for refitted, settled ones. With
        `train.rate_cut` at 1 training goes on from where it is, at the rate it has. Raises: DivergedError.
        """
        self._resume(progress)
        while int(self._epoch) < max_epochs and int(self._epoch) - int(self._best_epoch) < patience:
            scalars = self._run_epoch(progress, before_epoch)
            epoch = self._end_epoch()
            with self._step.averaged():
                scalars |= validate()
                rises = scalars["recall"] > float(self._best_recall)
                if rises:
                    self._best_recall.assign(scalars["recall"])
                    self._best_epoch.assign(epoch)
                    save_weights(self._model, self._best)
            if not rises and self._rate_cut < 1:
                load_weights(self._model, self._best)
                self._step.restart_average()
                self._step.lower_rate(self._rate_cut)
            self._manager.save()
            record(epoch, scalars)
        load_weights(self._model, self._best)
        return Fitted(int(self._best_epoch), float(self._best_recall), int(self._epoch))

    def fit_fixed(
        self,
        epochs: int,
        progress: Progress,
        record: Callable[[int, Scalars], None],
        before_epoch: Callable[[int], None] | None = None,
    ) -> None:
        """Train for a number of epochs decided beforehand: a refit, which nothing may be chosen on.

        Raises: DivergedError.
        """
        self._resume(progress)
        while int(self._epoch) < epochs:
            scalars = self._run_epoch(progress, before_epoch)
            epoch = self._end_epoch()
            self._manager.save()
            record(epoch, scalars)
        self._step.settle()

    def _resume(self, progress: Progress) -> None:
        """Go on from the last checkpoint, where there is one."""
        if self._damage:
            progress.say(f"the last checkpoint is damaged and was put aside; this fit begins anew ({self._damage})")
        if self._last:  # the one that was read, whatever the manager could make out
            self._checkpoint.restore(self._last)

    def _run_epoch(self, progress: Progress, before_epoch: Callable[[int], None] | None) -> dict[str, float]:
        """What is left of the epoch under way."""
        number, first, total, examples = int(self._epoch), int(self._done), float(self._total_loss), 0
        if before_epoch is not None and not first:
            before_epoch(number)
        progress.expect(self._examples.steps, f"epoch {number + 1}")
        self._step.trace()
        started, done = time.perf_counter(), first
        for done, batch in enumerate(
            feed(lambda: self._examples.epoch(number, first), self._step.signature), first + 1
        ):
            total += float(self._step(batch))
            if not math.isfinite(total):
                raise diverged("the loss is no number", f"at step {done} of epoch {number + 1}")
            examples += int(np.count_nonzero(batch["weight"]))
            if done % self._every == 0:
                self._refuse_diverged(done)
                self._done.assign(done)
                self._total_loss.assign(total)
                self._manager.save()
            progress.advance()
        self._refuse_diverged(done)
        seconds = time.perf_counter() - started
        pace = {"examples_per_second": examples / seconds} if examples else {}  # none where a resume had no step to do
        return {"loss": total / max(done, 1), "seconds": seconds, **pace}

    def _refuse_diverged(self, done: int) -> None:
        """A step's loss is that of the weights before it: what the last step did to them shows in no loss."""
        if not finite(self._model):
            raise diverged("weights are no numbers", f"after step {done} of epoch {int(self._epoch) + 1}")

    def _end_epoch(self) -> int:
        self._done.assign(0)
        self._total_loss.assign(0)
        return int(self._epoch.assign_add(1))


def finite(model: keras.Model) -> bool:
    """Whether all weights that are trained are numbers."""
    return all(bool(tf.reduce_all(tf.math.is_finite(weight))) for weight in model.trainable_variables)


def diverged(what: str, where: str, stage: str = "train", mend: str = _CALMER) -> DivergedError:
    """The error that names what is no number any more, and where that was seen."""
    return DivergedError(f"{stage}: {what} any more {where}, expected a loss that falls; {mend}")


def feed(batches: Callable[[], Iterator[Batch]], signature: dict[str, tf.TensorSpec]) -> tf.data.Dataset:
    """Batches as tensors, assembled a few ahead of the step that takes them."""
    options = tf.data.Options()
    # there is nothing to tune, and an iterator that goes waits for the tuner, which sleeps for up to a minute
    options.autotune.enabled = False
    return tf.data.Dataset.from_generator(batches, output_signature=signature).prefetch(_AHEAD).with_options(options)


def save_weights(model: keras.Model, folder: Path) -> None:
    """Write the weights of a model alone, as all that a folder holds; it is the old or the new one, never half."""
    with replaced_whole(folder) as coming:
        tf.train.Checkpoint(model=model).write(str(coming / "weights"))


def load_weights(model: keras.Model, folder: Path) -> None:
    """Read what `save_weights` wrote into a model of the same config."""
    tf.train.Checkpoint(model=model).read(str(folder / "weights")).expect_partial()


class _Damaged(Exception):
    """What is kept can never be read: what was written is not there, or is not what was written."""


def _last_checkpoint(checkpoints: Path, best: Path) -> str | None:
    """The last checkpoint, if there is one.

    All of it, and of the best weights that it counts on, is read before any is restored: a model that was restored by
    half is none to begin anew with. Raises: _Damaged; what may pass (too many open files, no right to read, a disk that
    is away, no memory left) as it comes, since the checkpoint is then as good as ever.
    """
    state = checkpoints / "checkpoint"  # which names the last one
    if not state.is_file():
        return None
    try:
        last = str(checkpoints / _named(state.read_bytes()))
        _read_all(last)
        if int(_read(last, _BEST_EPOCH, tf.int64)):
            _read_all(str(best / "weights"))
    except (UnicodeDecodeError, text_format.ParseError) as error:
        raise _Damaged(f"{state} cannot be read: {_line(error)}") from error
    except (tf.errors.DataLossError, tf.errors.OutOfRangeError, tf.errors.NotFoundError) as error:
        raise _Damaged(_line(error)) from error
    return last


def _named(state: bytes) -> str:
    """The checkpoint that a state file names."""
    read = tf.compat.v1.train.generate_checkpoint_state_proto(".", ".")  # a message of that type
    read.Clear()
    text_format.Parse(state, read)
    if not read.model_checkpoint_path:
        raise text_format.ParseError("it names no checkpoint")
    return read.model_checkpoint_path


def _read_all(path: str) -> None:
    """Read every tensor of a checkpoint, one after the other."""
    _read(path, _OBJECTS, tf.string)  # a checkpoint's reader says of all that is wrong with an index the same
    for name, kind in tf.train.load_checkpoint(path).get_variable_to_dtype_map().items():
        _read(path, name, kind)


def _read(path: str, name: str, kind: tf.DType) -> tf.Tensor:
    """One tensor of a checkpoint, by the operation whose errors tell what went wrong."""
    (read,) = tf.raw_ops.RestoreV2(prefix=path, tensor_names=[name], shape_and_slices=[""], dtypes=[kind])
    return read


def _line(error: Exception) -> str:
    return " ".join(_NO_NEWS.sub("", str(error)).split())

"""One step of training: loss, gradients, what moves the weights, and their moving average."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from configs.stages import Train
from towers.backend import tf, traced
from towers.optimizers import BY_ROWS, Average, optimizer
from towers.retrieval import Log, TwoTower

Rate = Any  # a float, or a Keras LearningRateSchedule, which is untyped


class Step:
    """Fits `model` to one batch a call, as `train` says; `like` is any batch.

    It is traced once for all shapes: a second trace may round otherwise, and a resumed fit would end elsewhere. XLA
    compiles loss and gradients alone, as optimizers update embeddings row by row.
    """

    def __init__(self, model: TwoTower, log: Log, train: Train, rate: Rate, like: Mapping[str, np.ndarray]) -> None:
        self._model, self._log, self._train = model, log.on_device(), train
        name = train.optimizer_over(model.size)
        self.optimizer = optimizer(name, rate, train.precision)
        self.optimizer.build(model.trainable_variables)
        self.signature = _signature(like)
        self.average = None
        if train.average:
            self.average = Average(model.trainable_variables, train.average, name in BY_ROWS)
        self._gradients = traced(self._loss_and_gradients, jit_compile=True) if train.xla else None
        self._call = traced(self._step, input_signature=[self.signature])

    def __call__(self, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The batch's loss, before the weights move."""
        return self._call(batch)

    def trace(self) -> None:
        """Make the graph, if that is not done yet."""
        self._call.get_concrete_function()

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold for the next step to be the one that would have followed."""
        state = {"model": self._model, "optimizer": self.optimizer, "step": self._model.randomness.step}
        if self.average:
            state["average"] = self.average
        if self._log.sources.mined is not None:  # mined from the weights that an epoch begins with
            state |= {"mined": self._log.sources.mined.table, "mined_share": self._log.sources.mined.share}
        return state

    def lower_rate(self, factor: float) -> None:
        """Multiply the learning rate."""
        self.optimizer.learning_rate = self.optimizer.learning_rate * factor

    def averaged(self) -> AbstractContextManager[None]:
        """Within the block the model's weights are their moving average, where there is one."""
        return self.average.in_place() if self.average else nullcontext()

    def restart_average(self) -> None:
        """Let the average begin anew from the weights as they are."""
        if self.average:
            self.average.restart()

    def settle(self) -> None:
        """Make the average, where there is one, the model's weights."""
        if self.average:
            self.average.swap()
            self.average.restart()

    def _step(self, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        loss, gradients = (self._gradients or self._loss_and_gradients)(batch)
        weights = self._model.trainable_variables
        if self.average:
            self.average.before(gradients)
        self.optimizer.apply_gradients(zip(gradients, weights, strict=True))
        if self.average:
            self.average.after(gradients)
        self._model.randomness.step.assign_add(1)
        return loss

    def _loss_and_gradients(self, batch: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, list[Any]]:
        weights, scales = self._model.trainable_variables, self._train.precision == "mixed_float16"
        with tf.GradientTape() as tape:
            loss = self._model.loss(batch, self._log)
            scaled = self.optimizer.get_scaled_loss(loss) if scales else loss
        gradients = tape.gradient(scaled, weights)
        return loss, self.optimizer.get_unscaled_gradients(gradients) if scales else gradients


def _signature(batch: Mapping[str, np.ndarray]) -> dict[str, tf.TensorSpec]:
    """Shapes of a batch with all sizes left open that change from batch to batch."""
    specs = {}
    for name, value in batch.items():
        open_dimensions = 1 if name in ("seen", "query") or name.startswith("static/") else 2
        shape = [None] * open_dimensions + list(value.shape[open_dimensions:])
        specs[name] = tf.TensorSpec(shape, value.dtype)
    return specs

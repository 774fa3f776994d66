"""One step of training: compiled or not, in whatever precision, it fits the same loss; and what averages weights."""

import numpy as np
import pytest

from pipelines.step import Step
from pipelines.train import new_towers
from tests import world
from towers.backend import keras, tf

STILL = {
    "towers.dropout": 0.0,
    "towers.history.dropout": 0.0,
    "train.cold_items": 0.0,
    "train.batch": 200,
}  # nothing drawn


READ_BY_MEAN = {"towers.history.encoder": "mean"}  # quick to trace


class _Case:
    """Towers of the world and one batch of it; every feature, and ids that are never hidden."""

    def __init__(self, changes=None):
        config = world.config(STILL | (changes or {}))
        features = [f.model_copy(update={"dropout": 0.0}) if f.kind == "id" else f for f in config.features]
        data = world.dataset(config.model_copy(update={"features": tuple(features)}), world.log())
        cut = data.cuts.validation
        self.encoded = world.encoded(data)
        self.data, self.train = data, data.config.train
        self.examples = world.examples(data, self.encoded, cut)
        self.log = world.training_log(data, self.examples, cut)
        self.batches = list(self.examples.epoch(0))
        self.model = new_towers(data, self.encoded, self.train.precision)
        self.step = Step(self.model, self.log, self.train, 0.01, self.batches[0])

    def losses(self, steps=3):
        return [float(self.step(_tensors(batch))) for batch in self.batches[:steps]]


def _tensors(batch):
    return {name: tf.constant(value) for name, value in batch.items()}


@pytest.mark.slow
def test_compiled_by_xla_a_step_does_what_it_does_uncompiled():
    changes = READ_BY_MEAN | {"train.negatives": {"whole_catalogue_below": 0, "in_batch": 0, "uniform": 16}}
    changes |= {"train.optimizer": "adam"}  # by rows, one whose gradient is rounding alone moves as far as any
    plain, compiled = _Case(changes), _Case(changes | {"train.xla": True})
    for case in (plain, compiled):  # XLA draws other numbers, so every item is drawn once
        case.model.sampler._even = lambda: tf.range(world.ITEMS)
    np.testing.assert_allclose(compiled.losses(), plain.losses(), rtol=1e-4)
    for ours, theirs in zip(compiled.model.trainable_variables, plain.model.trainable_variables, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=2e-3)


@pytest.mark.parametrize(
    ("precision", "encoder"), [("mixed_bfloat16", "transformer"), ("mixed_float16", "gru"), ("mixed_bfloat16", "mean")]
)
def test_towers_compute_in_sixteen_bits_and_keep_weights_and_loss_in_float32(precision, encoder):
    history = {"towers.history.encoder": encoder}
    case = _Case(history | {"train.precision": precision})
    assert {v.dtype for v in case.model.trainable_variables} == {tf.float32}
    assert case.model.queries.top.last.compute_dtype == precision.removeprefix("mixed_")
    assert keras.mixed_precision.global_policy().name == "float32"  # nothing else is touched
    before = [variable.numpy().copy() for variable in case.model.trainable_variables]
    served = new_towers(case.data, case.encoded)
    expected = float(served.loss(_tensors(case.batches[0]), case.log))
    loss = float(case.model.loss(_tensors(case.batches[0]), case.log))
    assert loss != expected
    assert loss == pytest.approx(expected, rel=0.02)
    case.losses()
    moved = [(a != b.numpy()).any() for a, b in zip(before, case.model.trainable_variables, strict=True)]
    # in float16 the first steps only find out how far the loss can be scaled
    assert all(moved) if precision == "mixed_bfloat16" else case.step.optimizer.loss_scale < 2**15


def test_gradients_too_large_for_float16_are_no_step_until_the_scale_fits():
    case = _Case(READ_BY_MEAN | {"train.precision": "mixed_float16"})
    losses = [float(case.step(_tensors(case.batches[0]))) for _ in range(25)]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0] - 1


@pytest.mark.parametrize(
    ("whole", "name", "made"), [(0, "auto", "LazyAdam"), (10_000, "auto", "Adam"), (0, "adam", "Adam")]
)
def test_rows_are_moved_one_by_one_where_items_are_drawn(whole, name, made):
    case = _Case(READ_BY_MEAN | {"train.optimizer": name, "train.negatives": {"whole_catalogue_below": whole}})
    assert type(case.step.optimizer).__name__ == made
    assert bool(case.step.average.kept_then) == (made == "LazyAdam")


def test_a_rate_is_lowered_whatever_wraps_the_optimizer():
    for precision in ("float32", "mixed_float16"):
        case = _Case(READ_BY_MEAN | {"train.precision": precision})
        case.step.lower_rate(0.5)
        assert float(case.step.optimizer.learning_rate) == pytest.approx(0.005)


def test_one_trace_serves_batches_of_all_shapes():
    case = _Case(READ_BY_MEAN | {"train.batch": 60})
    shapes = {batch["weight"].shape for batch in case.batches}
    assert len(shapes) > 3
    case.losses(len(case.batches))
    assert case.step._call.experimental_get_tracing_count() == 1


def test_within_the_block_weights_are_their_average_and_afterwards_themselves():
    case = _Case(READ_BY_MEAN | {"train.average": 0.9})
    weight, seen = case.model.queries.top.last.kernel, []
    average = weight.numpy().astype(np.float64)
    for number, batch in enumerate(case.batches[:4], 1):
        case.step(_tensors(batch))
        seen.append(weight.numpy().copy())
        keep = min(0.9, (1 + number) / (10 + number))
        average = keep * average + (1 - keep) * seen[-1]
    with case.step.averaged():
        np.testing.assert_allclose(weight.numpy(), average, atol=1e-6)
        assert np.abs(weight.numpy() - seen[-1]).max() > 1e-3
    np.testing.assert_array_equal(weight.numpy(), seen[-1])
    with pytest.raises(KeyboardInterrupt), case.step.averaged():
        raise KeyboardInterrupt
    np.testing.assert_array_equal(weight.numpy(), seen[-1])
    case.step.restart_average()
    with case.step.averaged():
        np.testing.assert_array_equal(weight.numpy(), seen[-1])
    case.step(_tensors(case.batches[0]))
    keep = 2 / 11  # as in the first step of all
    with case.step.averaged():
        held = weight.numpy().copy()
    np.testing.assert_allclose(held, keep * seen[-1] + (1 - keep) * weight.numpy(), atol=1e-6)

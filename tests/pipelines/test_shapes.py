"""Padding to few shapes: what it adds weighs nothing."""

import numpy as np
import pytest

from pipelines.shapes import pad, rounded_up
from pipelines.train import new_towers
from tests import world
from towers.backend import tf


def test_sizes_grow_in_even_steps_within_a_doubling():
    assert sorted({rounded_up(n, 4) for n in range(1, 33)}) == [*range(1, 9), 10, 12, 14, 16, 20, 24, 28, 32]
    assert sorted({rounded_up(n, 2) for n in range(1, 33)}) == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32]
    assert sorted({rounded_up(n, 1) for n in range(1, 65)}) == [1, 2, 4, 8, 16, 32, 64]
    assert all(n <= rounded_up(n, 2) <= 1.5 * n for n in range(1, 5000))


HARD = {"whole_catalogue_below": 0, "in_batch": 0, "uniform": 0, "hard": 16, "hard_depth": 3, "hard_from": 1}


@pytest.mark.parametrize(("encoder", "negatives"), [("none", {}), ("transformer", {}), ("mean", HARD)])
def test_a_padded_batch_gives_the_loss_of_the_batch(encoder, negatives):
    changes = {
        "towers.dropout": 0.0,
        "towers.history.dropout": 0.0,
        "towers.history.encoder": encoder,
        "train.cold_items": 0.0,
        "train.negatives": negatives,
    }
    config = world.config(changes | {"train.batch": 70})
    features = [f.model_copy(update={"dropout": 0.0}) if f.kind == "id" else f for f in config.features]
    data = world.dataset(config.model_copy(update={"features": tuple(features)}), world.log())
    encoded = world.encoded(data)
    examples = world.examples(data, encoded, data.cuts.validation)
    log, model = world.training_log(data, examples, data.cuts.validation), new_towers(data, encoded)
    if log.sources.mined is not None:
        log.sources.mined.fill(np.random.default_rng(0).integers(0, world.ITEMS, (world.QUERIES, 3), np.int32))
    batches = list(examples.epoch(0))
    padded = [pad(batch, 7) for batch in batches]
    grown = max(range(len(batches)), key=lambda n: padded[n]["weight"].size - batches[n]["weight"].size)
    assert padded[grown]["weight"].size > batches[grown]["weight"].size
    loss, expected = (
        float(model.loss({name: tf.constant(value) for name, value in of[grown].items()}, log))
        for of in (padded, batches)
    )
    assert loss == pytest.approx(expected, rel=1e-5)
    for before, after in zip(batches, padded, strict=True):
        assert after["weight"].sum() == before["weight"].sum()
        assert after["mask"].sum() == before["mask"].sum()
        assert {name: value.dtype for name, value in after.items()} == {k: v.dtype for k, v in before.items()}
    shapes, fewer = ({tuple(v.shape for v in batch.values()) for batch in of} for of in (batches, padded))
    assert len(fewer) < len(shapes)

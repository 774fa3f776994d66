"""What is mined, for whom, and when."""

from dataclasses import replace

import numpy as np
import pytest

from configs.errors import ConfigError, DataError
from pipelines.dataset import refuse_idle_objectives
from pipelines.mining import mine, miner
from pipelines.requests import requests_of_past
from pipelines.train import _examples, _log, new_towers
from pipelines.vectors import Vectors
from tests import world
from tests.pipelines.baselines.worlds import events
from towers.backend import tf
from towers.dropout import Randomness
from towers.negatives import Mined, Sampler


def _requests(data):
    cut = data.cuts.validation
    return requests_of_past(world.sequences(data.past(cut)), cut.moment)


def test_the_best_scored_items_that_a_query_has_not_taken_are_mined():
    data = world.dataset(world.config(), world.log())
    requests = _requests(data).take(np.array([5, 2]))
    scores = np.random.default_rng(0).normal(size=(2, world.ITEMS)).astype(np.float32)
    eligible = np.arange(world.ITEMS) % 4 > 0
    table = mine(lambda block: scores, requests, world.QUERIES, 30, eligible)
    assert table.shape == (world.QUERIES, 30)
    assert (np.delete(table, requests.query, axis=0) == -1).all()
    for row, query in enumerate(requests.query):
        fair = np.setdiff1d(np.flatnonzero(eligible), requests.history[row])
        np.testing.assert_array_equal(table[query], fair[np.argsort(-scores[row][fair])][:30])


def test_places_for_which_no_item_is_left_stay_empty():
    data = world.dataset(world.config(), world.log())
    requests = _requests(data)
    eligible = np.arange(world.ITEMS) < 20
    table = mine(lambda block: np.zeros((len(block), world.ITEMS), np.float32), requests, world.QUERIES, 30, eligible)
    left = [
        20 - len(np.unique(history[history < 20]))
        for history in map(requests.history.__getitem__, range(len(requests)))
    ]
    np.testing.assert_array_equal((table[requests.query] >= 0).sum(axis=1), left)


def test_epochs_from_the_named_one_on_begin_with_what_the_towers_then_rank_highest():
    data = world.dataset(world.config({"towers.history": {"encoder": "mean", "length": 6}}), world.log())
    encoded, cut = world.encoded(data), data.cuts.validation
    model, mined = new_towers(data, encoded), Mined(np.full(world.QUERIES, 1 / world.QUERIES), 7, world.ITEMS)
    before_epoch = miner(data, encoded, model, cut, mined, since=3)
    before_epoch(1)
    assert (mined.table.numpy() == -1).all()
    before_epoch(2)
    first, requests = mined.table.numpy(), _requests(data)
    scores = Vectors(data.config, model, encoded, data.trend_at(cut)).score(requests)
    scores[requests.history.rows, requests.history.values] = -np.inf
    np.testing.assert_array_equal(first[requests.query, 0], scores.argmax(axis=1))
    for variable in model.trainable_variables:
        variable.assign_add(np.random.default_rng(0).normal(scale=0.3, size=variable.shape))
    before_epoch(3)
    assert (mined.table.numpy() != first).any()
    np.testing.assert_allclose(mined.share.numpy().sum(), 1, rtol=1e-5)


@pytest.mark.parametrize("xla", [False, True])
def test_what_was_mined_is_counted_as_often_as_it_is_drawn(xla, tmp_path):
    # queries of very different length, which windows of 7 cut into one row or into many
    rng = np.random.default_rng(0)
    counts = np.array([600, *[40] * 12, *[3] * 47])
    query = rng.permutation(np.repeat(np.arange(world.QUERIES), counts))
    log = events([(q, rng.integers(world.ITEMS), 1000 * place) for place, q in enumerate(query)])
    negatives = {"whole_catalogue_below": 0, "in_batch": 0, "uniform": 0, "hard": 200, "hard_depth": 1, "hard_from": 1}
    features = [one for one in world.config().model_dump()["features"] if one["table"] != "events"]
    changes = {"train.negatives": negatives, "features": features, "train.batch": 40, "train.xla": xla}
    data = world.dataset(world.config(changes | {"data.seen_items": "keep"}), log)
    cut = data.cuts.validation
    examples = _examples(data, world.encoded(data), cut, tmp_path)
    training, randomness = _log(data, examples, cut), Randomness(0)
    training.sources.mined.fill(np.arange(world.QUERIES, dtype=np.int32)[:, None])  # each query an item of its own
    sampler, drawn = Sampler(data.config.train.negatives, world.ITEMS, 1, randomness), np.zeros(world.ITEMS)
    for batch in (batch for epoch in range(15) for batch in examples.epoch(epoch)):
        randomness.step.assign_add(1)
        target, weight = (tf.reshape(batch[name], [-1]) for name in ("target", "weight"))
        columns = sampler.draw(target, weight > 0, tf.constant(batch["query"]), training.sources)
        drawn += np.bincount(columns.items, minlength=world.ITEMS)
    share = training.sources.mined.share.numpy()
    assert share.sum() == pytest.approx(1)
    for some in (slice(0, 1), slice(1, 13), slice(13, 60)):
        assert drawn[some].sum() / drawn.sum() == pytest.approx(share[some].sum(), rel=0.05)


def test_nothing_is_mined_where_nothing_is_asked_for():
    data = world.dataset(world.config(), world.log())
    assert miner(data, None, None, data.cuts.validation, None, since=1) is None


@pytest.mark.parametrize("source", ["popular", "hard", "memory"])
def test_sources_that_have_nothing_to_add_to_the_whole_catalogue_are_refused(source):
    data = world.dataset(world.config({f"train.negatives.{source}": 9}), world.log())
    message = (
        rf"train.negatives.{source} = 9 has nothing to add .* 150 items, whole_catalogue_below = 10000; lower that"
    )
    with pytest.raises(ConfigError, match=message):
        refuse_idle_objectives(data)
    changes = {f"train.negatives.{source}": 9, "train.negatives.whole_catalogue_below": 149}
    refuse_idle_objectives(world.dataset(world.config(changes), world.log()))


def test_gbce_where_nothing_is_drawn_is_refused():
    gbce = {"train.loss": "gbce", "train.negatives.in_batch": 0, "train.negatives.logq": False}
    message = (
        r'train.loss = "gbce" makes up for .* 150 items, train.negatives.whole_catalogue_below = 10000; lower that'
    )
    with pytest.raises(ConfigError, match=message):
        refuse_idle_objectives(world.dataset(world.config(gbce), world.log()))
    refuse_idle_objectives(
        world.dataset(world.config(gbce | {"train.negatives.whole_catalogue_below": 0}), world.log())
    )


def test_values_that_are_all_zero_are_refused():
    log = world.log()
    refuse_idle_objectives(world.dataset(world.config(), replace(log, value=np.ones(len(log), np.float32))))
    with pytest.raises(DataError, match=r"data.events.value: no event before the validation cut is worth more than 0"):
        refuse_idle_objectives(world.dataset(world.config(), replace(log, value=np.zeros(len(log), np.float32))))
    unread = world.config({"train.weighted": False})
    refuse_idle_objectives(world.dataset(unread, replace(log, value=np.zeros(len(log), np.float32))))

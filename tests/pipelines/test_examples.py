"""Training batches: what is predicted, from what, and that it can be replayed."""

import numpy as np
import pytest

from pipelines.examples import Examples
from tests import world
from tests.pipelines.baselines.worlds import events

DAY, LENGTH = world.DAY, 6


@pytest.fixture(scope="module")
def encoded():
    return world.encoded(world.dataset(world.config(), world.log()))


def _case(encoded, changes=None):
    data = world.dataset(world.config(changes), world.log())
    return data, world.examples(data, encoded, data.cuts.validation)


def _moments(batches):
    """Every moment to be predicted, as a dict; history oldest first."""
    for batch in batches:
        for row, slot in zip(*np.nonzero(batch["weight"] > 0), strict=True):
            yield {
                "query": batch["static/user_id"][row] - 2,  # users are numbered in the order of their ids
                "target": batch["target"][row, slot],
                "time": batch["moment"][row, slot],
                "weight": batch["weight"][row, slot],
                "bucket": batch["bucket"][row, slot],
                "clock": batch["context/moment"][row, slot],
                "history": batch["item"][row, :slot].tolist(),
                "history_time": batch["item_time"][row, :slot].tolist(),
                "mask": batch["mask"][row],
                "slot": slot,
            }


@pytest.mark.parametrize("epoch", [0, 1])
def test_every_event_is_predicted_exactly_once_in_next_mode(encoded, epoch):
    data, examples = _case(encoded, {"train.target": "next"})
    past = data.past(data.cuts.validation)
    found = sorted((m["query"], m["time"], m["target"]) for m in _moments(examples.epoch(epoch)))
    assert found == sorted(zip(past.query, past.time, past.item, strict=True))


def test_every_event_is_the_moment_of_one_prediction_in_future_mode(encoded):
    data, examples = _case(encoded, {"train.target": "future"})
    past = data.past(data.cuts.validation)
    found = sorted((m["query"], m["time"]) for m in _moments(examples.epoch(0)))
    assert found == sorted(zip(past.query, past.time, strict=True))


def _when(past, query, item):
    return past.time[(past.query == query) & (past.item == item)][0]  # the world has no repeats


@pytest.mark.parametrize("horizon", [None, "5d"])
def test_future_targets_lie_between_the_event_and_the_horizon(encoded, horizon):
    data, examples = _case(encoded, {"train.target": "future", "train.horizon": horizon})
    past = data.past(data.cuts.validation)
    ahead = np.array(
        [_when(past, m["query"], m["target"]) - m["time"] for e in range(3) for m in _moments(examples.epoch(e))]
    )
    assert ahead.min() == 0
    assert ahead.max() <= (5 * DAY if horizon else data.cuts.validation.moment - world.START)
    assert ahead.max() > (4 * DAY if horizon else 30 * DAY)


def test_any_event_within_reach_is_as_likely_a_target(encoded):
    log = events([(0, item, 100 + item) for item in range(4)])
    examples = Examples(world.config(), world.sequences(log, 1), {}, {}, _trend(), 4)
    drawn = (batch for epoch in range(2000) for batch in examples.epoch(epoch))
    targets = [batch["target"][0, 0] for batch in drawn if batch["mask"].shape[1] > 2 and batch["mask"][0, 2]]
    counts = np.bincount(targets, minlength=4)
    assert counts.min() > 0.85 * counts.mean()


def _trend():
    return world.dataset(world.config(), world.log()).trend


def test_an_events_own_horizon_includes_its_end_and_no_other_query():
    log = events([(0, 0, 0), (0, 1, 5 * DAY), (0, 2, 5 * DAY + 1), (1, 3, 0)])
    config = world.config({"train.horizon": "5d"})
    examples = Examples(config, world.sequences(log, 2), {}, {}, _trend(), 4)
    first, last = set(), set()
    for epoch in range(200):
        batch = next(iter(examples.epoch(epoch)))
        mine = np.isin(np.arange(len(batch["mask"])), batch["seen"][batch["seen"][:, 1] == 0, 0])
        at_start = (batch["moment"] == 0) & (batch["weight"] > 0)
        first |= set(batch["target"][at_start & mine[:, None]].tolist())
        last |= set(batch["target"][at_start & ~mine[:, None]].tolist())
    assert first == {0, 1}
    assert last == {3}


def test_histories_are_what_the_query_did_just_before(encoded):
    data, examples = _case(encoded)
    past = data.past(data.cuts.validation)
    longest = 0
    for m in _moments(examples.epoch(0)):
        mine = past.query == m["query"]
        before = past.item[mine & (past.time < m["time"])]
        assert m["history"] == before[len(before) - len(m["history"]) :].tolist()
        assert m["history_time"] == past.time[mine & (past.time < m["time"])][-m["slot"] :].tolist()[: m["slot"]]
        assert m["mask"][: m["slot"]].all()
        longest = max(longest, len(m["history"]))
    assert longest == LENGTH


def test_moments_without_an_event_weigh_nothing_and_their_items_are_masked(encoded):
    _, examples = _case(encoded)
    for batch in examples.epoch(0):
        np.testing.assert_array_equal(batch["mask"], batch["weight"][:, 1:] > 0)


def test_histories_are_cut_at_fresh_places_every_epoch(encoded):
    _, examples = _case(encoded)
    lengths = [sorted((m["query"], m["time"], m["slot"]) for m in _moments(examples.epoch(e))) for e in (0, 1)]
    assert lengths[0] != lengths[1]


def test_an_epoch_can_be_replayed_from_seed_and_number(encoded):
    _, examples = _case(encoded)
    _, again = _case(encoded)
    list(again.epoch(0))  # what ran before does not matter
    for one, other in zip(examples.epoch(5), again.epoch(5), strict=True):
        assert one.keys() == other.keys()
        for key, value in one.items():
            np.testing.assert_array_equal(value, other[key])
    _, reseeded = _case(encoded, {"seed": 4})
    assert (next(examples.epoch(5))["negatives"] != next(reseeded.epoch(5))["negatives"]).any()


def test_weights_are_those_of_the_target():
    log = events([(0, 0, 100, 1.0), (0, 1, 200, 3.0), (0, 2, 300, 2.0)])
    examples = Examples(world.config(), world.sequences(log, 1), {}, {}, _trend(), 3)
    for epoch in range(5):
        for batch in examples.epoch(epoch):
            real = batch["weight"] > 0
            np.testing.assert_array_equal(batch["weight"][real], np.array([1, 3, 2])[batch["target"][real]])


@pytest.mark.parametrize(("seen_items", "asked"), [("filter", {0, 1}), ("keep", {0, 1, 2})])
def test_repeats_are_asked_for_where_seen_items_may_be_recommended_again(seen_items, asked):
    log = events([(0, 0, 100), (0, 1, 200), (0, 0, 300)])
    config = world.config({"train.target": "next", "data.seen_items": seen_items})
    examples = Examples(config, world.sequences(log, 1), {}, {}, _trend(), 3)
    found = [(m["time"], m["target"]) for m in _moments_of(examples)]
    assert sorted(found) == [((n + 1) * 100, n % 2) for n in sorted(asked)]


def _moments_of(examples):
    for batch in examples.epoch(0):
        for row, slot in zip(*np.nonzero(batch["weight"] > 0), strict=True):
            yield {"time": batch["moment"][row, slot], "target": batch["target"][row, slot]}


def test_buckets_count_from_the_first_event(encoded):
    _, examples = _case(encoded)
    for m in _moments(examples.epoch(0)):
        assert m["bucket"] == (m["time"] - world.START) // DAY


def test_context_is_that_of_the_moment(encoded):
    _, examples = _case(encoded)
    for m in _moments(examples.epoch(0)):
        hour = 2 * np.pi * (m["time"] % DAY) / DAY
        np.testing.assert_allclose(m["clock"][:2], [np.sin(hour), np.cos(hour)], atol=1e-5)


def test_seen_names_everything_that_the_query_took_before_the_cut(encoded):
    data, examples = _case(encoded)
    past = data.past(data.cuts.validation)
    for batch in examples.epoch(0):
        for row, query in enumerate(batch["static/user_id"] - 2):
            seen = batch["seen"][batch["seen"][:, 0] == row, 1]
            np.testing.assert_array_equal(seen, past.item[past.query == query])


def test_nothing_after_the_cut_is_in_any_batch(encoded):
    data, examples = _case(encoded)
    cut = data.cuts.validation
    later = {(q, i) for q, i in zip(data.log.query, data.log.item, strict=True)} - {
        (q, i) for q, i in zip(data.past(cut).query, data.past(cut).item, strict=True)
    }
    for batch in examples.epoch(0):
        assert batch["moment"].max() < cut.moment
        assert batch["item_time"].max() < cut.moment
        query = batch["static/user_id"] - 2
        taken = {(q, i) for q, row in zip(query, batch["target"], strict=True) for i in row}
        taken |= {(q, i) for q, row in zip(query, batch["item"], strict=True) for i in row}
        taken |= {(query[row], i) for row, i in batch["seen"]}
        assert not taken & later


def test_batches_are_alike_in_examples_and_an_epoch_holds_no_more_than_allowed(encoded):
    for changes in ({}, {"train.max_examples": 200}, {"train.batch": 40}):
        _, examples = _case(encoded, changes)
        for epoch in range(3):
            sizes = [int((batch["weight"] > 0).sum()) for batch in examples.epoch(epoch)]
            assert sum(sizes) <= changes.get("train.max_examples", 10**9)
            assert abs(len(sizes) - examples.steps()) <= 0.3 * examples.steps() + 2
            assert max(sizes) <= changes.get("train.batch", 250) + LENGTH + 1


def test_pieces_of_a_batch_are_alike_in_length(encoded):
    _, examples = _case(encoded, {"train.batch": 40})
    padded = real = 0
    for batch in examples.epoch(0):
        real += (batch["weight"] > 0).sum()
        padded += batch["weight"].size
    assert real / padded > 0.8


def test_uniform_negatives_cover_the_catalogue(encoded):
    _, examples = _case(encoded, {"train.negatives": {"uniform": 500}})
    drawn = np.concatenate([batch["negatives"] for batch in examples.epoch(0)])
    counts = np.bincount(drawn, minlength=world.ITEMS)
    assert len(counts) == world.ITEMS
    assert counts.min() > 0


@pytest.mark.parametrize("changes", [{"train.target": "next"}, {}, {"train.horizon": "200s"}])
def test_the_target_share_is_how_often_an_item_is_a_target(changes):
    rows = [(0, 0, 100, 1.0), (0, 1, 200, 3.0), (0, 2, 350, 1.0), (0, 1, 390, 1.0), (1, 0, 100, 1.0)]
    examples = Examples(world.config(changes), world.sequences(events(rows), 2), {}, {}, _trend(), 4)
    targets = np.concatenate(
        [batch["target"][batch["weight"] > 0] for epoch in range(3000) for batch in examples.epoch(epoch)]
    )
    drawn = np.bincount(targets, minlength=4) / len(targets)
    np.testing.assert_allclose(examples.target_share(), drawn, atol=0.015)
    assert examples.target_share()[3] == 0

"""Training batches: what is predicted, from what, and that it can be replayed."""

from dataclasses import replace

import numpy as np
import pytest

from pipelines.examples import Examples
from pipelines.train import _examples, _log
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
    one, other = next(examples.epoch(5))["target"], next(reseeded.epoch(5))["target"]
    assert one.shape != other.shape or (one != other).any()


def test_an_epoch_can_be_gone_on_with_from_any_step(encoded):
    _, examples = _case(encoded, {"train.batch": 60})
    whole = list(examples.epoch(2))
    for first in (0, 3, len(whole) - 1, len(whole)):
        rest = list(examples.epoch(2, first))
        assert len(rest) == len(whole) - first
        for one, other in zip(rest, whole[first:], strict=True):
            for key, value in one.items():
                np.testing.assert_array_equal(value, other[key])


def test_a_log_on_disk_gives_the_batches_of_one_in_memory(encoded, tmp_path):
    data, in_memory = _case(encoded)
    on_disk = _examples(data, encoded, data.cuts.validation, tmp_path)
    assert {"item.npy", "reach.npy"} <= {path.name for path in tmp_path.iterdir()}
    for one, other in zip(in_memory.epoch(1), on_disk.epoch(1), strict=True):
        assert one.keys() == other.keys()
        for key, value in one.items():
            assert value.dtype == other[key].dtype
            np.testing.assert_array_equal(value, other[key])
    np.testing.assert_array_equal(in_memory.shares()[0], on_disk.shares()[0])


def test_weights_are_those_of_the_target():
    log = events([(0, 0, 100, 1.0), (0, 1, 200, 3.0), (0, 2, 300, 2.0)])
    examples = Examples(world.config(), world.sequences(log, 1), {}, {}, _trend(), 3)
    for epoch in range(5):
        for batch in examples.epoch(epoch):
            real = batch["weight"] > 0
            relative = np.array([1, 3, 2], np.float32) / 3
            np.testing.assert_allclose(batch["weight"][real], relative[batch["target"][real]], rtol=1e-6)


def test_a_targets_weight_is_that_of_its_kind_times_its_value_and_what_is_worth_nothing_is_not_asked_for():
    log = events([(0, 0, 100, 1.0), (0, 1, 200, 3.0), (0, 2, 300, 2.0)])
    log = replace(log, value=np.array([0.5, 0.0, 4.0], np.float32))
    weights = _weights_by_target(log, {"train.target": "next"})
    assert weights == {0: 0.5 / 8, 2: 1.0}
    examples = Examples(world.config({"train.target": "next"}), world.sequences(log, 1), {}, {}, _trend(), 3)
    np.testing.assert_allclose(examples.shares()[0], [0.5, 0, 0.5])
    assert _weights_by_target(log, {"train.target": "next", "train.weighted": False}) == {0: 1, 1: 1, 2: 1}


@pytest.mark.parametrize(
    ("seen_items", "asked"), [("filter", {0: {1.0}, 1: {0.5}}), ("keep", {0: {0.25, 1.0}, 1: {0.5}})]
)
def test_a_view_that_led_to_a_purchase_counts_as_one_where_seen_items_do_not_come_again(seen_items, asked):
    log = events([(0, 0, 100, 1.0), (0, 1, 200, 2.0), (0, 0, 300, 4.0), (0, 0, 400, 0.0)])
    changes, found = {"data.seen_items": seen_items, "train.target": "next"}, {}
    for batch in Examples(world.config(changes), world.sequences(log, 1), {}, {}, _trend(), 2).epoch(0):
        for row, slot in zip(*np.nonzero(batch["weight"]), strict=True):
            found.setdefault(int(batch["target"][row, slot]), set()).add(float(batch["weight"][row, slot]))
    assert found == asked


@pytest.mark.parametrize("value", [1e38, 1e-42])
def test_values_may_be_as_large_or_small_as_they_like(value):
    log = events([(0, 0, 100, 4.0), (0, 1, 200, 2.0)])
    log = replace(log, value=np.full(2, value, np.float32))
    assert _weights_by_target(log, {"train.target": "next"}) == {0: 1.0, 1: 0.5}


def test_times_of_any_size_keep_targets_within_their_query_and_horizon():
    scale, queries = 10**14, 2_000  # queries times times would not fit into 64 bits
    log = events([(query, item, (3 * query + item) * scale) for query in range(queries) for item in range(3)])
    config = world.config({"train.horizon": scale})
    reach = Examples(config, world.sequences(log, queries), {}, {}, _trend(), 3)._reach
    place = np.arange(3 * queries)
    np.testing.assert_array_equal(reach, np.minimum(place + 2, (place // 3 + 1) * 3))


def _weights_by_target(log, changes):
    examples, found = Examples(world.config(changes), world.sequences(log, 1), {}, {}, _trend(), 3), {}
    for batch in examples.epoch(0):
        real = batch["weight"] > 0
        found |= dict(zip(batch["target"][real].tolist(), batch["weight"][real].tolist(), strict=True))
    return found


def test_next_and_future_targets_worked_out_by_hand():
    # one query, events at days 0, 2, 3, 9; the same item is never asked for twice
    log = events([(0, 5, 0), (0, 6, 2 * DAY), (0, 7, 3 * DAY), (0, 8, 9 * DAY)])
    asked = {
        "next": {0: {5}, 2: {6}, 3: {7}, 9: {8}},
        "future": {0: {5, 6, 7, 8}, 2: {6, 7, 8}, 3: {7, 8}, 9: {8}},
        "3 days": {0: {5, 6, 7}, 2: {6, 7}, 3: {7}, 9: {8}},
    }
    for name, changes in (
        ("next", {"train.target": "next"}),
        ("future", {"train.target": "future"}),
        ("3 days", {"train.target": "future", "train.horizon": "3d"}),
    ):
        examples = Examples(world.config(changes), world.sequences(log, 1), {}, {}, _trend(), 9)
        found = {}
        for epoch in range(100):
            for batch in examples.epoch(epoch):
                for row, slot in zip(*np.nonzero(batch["weight"] > 0), strict=True):
                    found.setdefault(batch["moment"][row, slot] // DAY, set()).add(int(batch["target"][row, slot]))
        assert found == asked[name]


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
        assert m["bucket"].dtype == np.int32


def test_context_is_that_of_the_moment(encoded):
    _, examples = _case(encoded, {"train.context": "moment"})
    for m in _moments(examples.epoch(0)):
        hour = 2 * np.pi * (m["time"] % DAY) / DAY
        np.testing.assert_allclose(m["clock"][:2], [np.sin(hour), np.cos(hour)], atol=1e-5)


@pytest.mark.parametrize("target", ["next", "future"])
def test_context_is_that_in_which_the_target_is_taken(encoded, target):
    data, examples = _case(encoded, {"train.target": target})
    past, taken = data.past(data.cuts.validation), {}
    for query, item, time in zip(past.query, past.item, past.time, strict=True):
        taken.setdefault((query, item), time)
    moments = list(_moments(examples.epoch(0)))
    for m in moments:
        hour = 2 * np.pi * (taken[m["query"], m["target"]] % DAY) / DAY
        np.testing.assert_allclose(m["clock"][:2], [np.sin(hour), np.cos(hour)], atol=1e-5)
    later = [taken[m["query"], m["target"]] > m["time"] for m in moments]
    assert any(later) == (target == "future")


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
    for changes in ({}, {"train.max_examples": 200}, {"train.batch": 40}, {"train.batch": 4}):
        _, examples = _case(encoded, changes)
        for epoch in range(3):
            sizes = [int((batch["weight"] > 0).sum()) for batch in examples.epoch(epoch)]
            assert sum(sizes) <= changes.get("train.max_examples", 10**9)
            assert abs(len(sizes) - examples.steps) <= (0.1 * examples.steps if epoch else 0)
            assert max(sizes) <= changes.get("train.batch", 250) + LENGTH + 1


def test_pieces_of_a_batch_are_alike_in_length(encoded):
    _, examples = _case(encoded, {"train.batch": 40})
    padded = real = 0
    for batch in examples.epoch(0):
        real += (batch["weight"] > 0).sum()
        padded += batch["weight"].size
    assert real / padded > 0.8


def _asked(examples, listed, epochs):
    """Targets that the loss asks for in so many epochs, and whose they are."""
    for batch in (batch for epoch in range(epochs) for batch in examples.epoch(epoch)):
        asked = (batch["weight"] > 0) & (listed[batch["target"]] <= batch["moment"])
        yield batch["target"][asked], np.broadcast_to(batch["query"][:, None], asked.shape)[asked]


@pytest.mark.parametrize("listed", [None, [100, 150, 350, 0], [100, 200, 300, 500]])
@pytest.mark.parametrize("changes", [{"train.target": "next"}, {}, {"train.horizon": "200s"}])
def test_shares_are_how_often_an_item_is_a_target_and_how_often_a_query_asks(changes, listed):
    rows = [(0, 0, 100, 1.0), (0, 1, 200, 3.0), (0, 2, 350, 1.0), (0, 1, 390, 1.0), (1, 0, 100, 1.0), (1, 2, 400, 1.0)]
    examples = Examples(world.config(changes), world.sequences(events(rows), 3), {}, {}, _trend(), 4)
    at = np.zeros(4, np.int64) if listed is None else np.array(listed)
    targets, queries = map(np.concatenate, zip(*_asked(examples, at, 3000), strict=True))
    listed = None if listed is None else at
    for share, found in zip(examples.shares(listed), (targets, queries), strict=True):
        assert share.dtype == np.float32
        np.testing.assert_allclose(share, np.bincount(found, minlength=len(share)) / len(found), atol=0.015)
        assert share[-1] == 0


def test_the_target_share_of_an_item_that_comes_out_worked_out_by_hand():
    # of 3, 2 and 1 later events one is asked for; item 2, listed at 15, by the last moment alone
    log = events([(0, 0, 0), (0, 1, 10), (0, 2, 20)])
    examples = Examples(world.config(), world.sequences(log, 1), {}, {}, _trend(), 3)
    np.testing.assert_allclose(examples.shares(np.array([0, 0, 15]))[0], np.array([2, 5, 6]) / 13, rtol=1e-6)
    np.testing.assert_allclose(examples.shares()[0], np.array([2, 5, 11]) / 18, rtol=1e-6)


def test_what_columns_are_drawn_by_leaves_out_who_asked_before_an_item_came_out(tmp_path):
    log, tables = world.log(), world.items()
    new, day = np.arange(world.ITEMS) % 5 < 2, world.START + 25 * DAY
    log = log.take(np.flatnonzero(~new[log.item] | (log.time >= day)))
    tables.loc[new, "available_from"] = day
    data = world.dataset(world.config(), log, tables)
    cut = data.cuts.validation
    examples = _examples(data, world.encoded(data), cut, tmp_path)
    training = _log(data, examples, cut)
    assert (training.listed[new] == day).all()
    targets = np.concatenate([found for found, _ in _asked(examples, training.listed, 40)])
    assert training.sources.frequency.numpy()[new].sum() == pytest.approx(new[targets].mean(), abs=0.01)
    assert examples.shares()[0][new].sum() > new[targets].mean() + 0.05  # as many would be expected without dates

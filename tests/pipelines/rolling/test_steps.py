"""Steps and what is asked in them: by hand."""

import numpy as np
import pandas as pd
import pytest

from configs.errors import ConfigError
from pipelines.rolling.steps import Lived, ask, check, periods, step_length, steps_of
from pipelines.run import open_run, replay_run
from tests import world
from tests.pipelines.rolling.worlds import QUIET, dataset
from tests.world import DAY, START

# query, item, day; the test cut is at day 12, and query 3 comes after it
EVENTS = [
    *[(0, 0, 0.0), (0, 1, 1.0), (1, 2, 1.5), (2, 0, 2.0), (2, 3, 11.2), (1, 0, 11.7)],
    *[(0, 2, 12.5), (0, 1, 13.0), (3, 4, 13.5)],  # of query 0, one new and one seen
    *[(1, 4, 14.2), (3, 5, 14.5), (3, 6, 15.9)],
    *[(0, 2, 18.5), (2, 6, 18.6), (2, 5, 18.7)],  # the third step is empty; query 0 takes nothing new
]


def _asked(changes=None, **more):
    data = dataset(EVENTS, 12, {"rolling": {"step": "2d"}} | (changes or {}), **more)
    return [ask(data, step, Lived.of(data)) for step in steps_of(data)]


def _rows(ragged):
    return [ragged[row].tolist() for row in range(len(ragged))]


def test_the_steps_cut_the_test_window_and_the_last_may_be_short():
    steps = steps_of(dataset(EVENTS, 12, {"rolling": {"step": "2d"}}))
    assert [step.number for step in steps] == [0, 1, 2, 3]
    assert [(step.start.moment - START) / DAY for step in steps] == [12, 14, 16, 18]
    assert [step.end.moment for step in steps[:-1]] == [step.start.moment for step in steps[1:]]
    assert steps[-1].end.moment == START + round(18.7 * DAY) + 1


def test_by_default_there_are_ten_steps():
    assert len(steps_of(dataset(EVENTS, 12))) == 10


def test_requests_and_targets_by_hand():
    first, second, empty, last = _asked()
    assert first.requests.query.tolist() == [0]
    assert _rows(first.requests.history) == [[0, 1]]
    assert _rows(first.requests.targets) == [[2]]
    assert (first.came_since.tolist(), first.without_past.tolist()) == ([], [3])
    assert second.requests.query.tolist() == [1, 3]
    assert _rows(second.requests.history) == [[2, 0], [4]]
    assert _rows(second.requests.targets) == [[4], [5, 6]]
    assert second.requests.time.tolist() == [START + round(14.2 * DAY), START + round(14.5 * DAY)]
    assert (second.came_since.tolist(), second.without_past.tolist()) == ([3], [])
    assert len(empty.requests) == len(empty.stale) == 0
    assert last.requests.query.tolist() == [2]
    assert _rows(last.requests.history) == [[0, 3]]
    assert _rows(last.requests.targets) == [[6, 5]]


EACH = {"rolling": {"step": "2d", "each_event": True}}


def test_at_each_event_what_was_done_up_to_it_is_known_and_its_own_item_is_asked_for():
    first, second, empty, last = _asked(EACH)
    assert first.requests.query.tolist() == [0]  # its second item had been seen; 3 asks from its second event on
    assert _rows(first.requests.history) == [[0, 1]]
    assert _rows(first.requests.targets) == [[2]]
    assert (first.came_since.tolist(), first.without_past.tolist()) == ([], [3])
    assert second.requests.query.tolist() == [1, 3, 3]
    assert _rows(second.requests.history) == [[2, 0], [4], [4, 5]]
    assert _rows(second.requests.targets) == [[4], [5], [6]]
    assert _rows(second.stale.history) == [[2, 0], [], []]
    assert second.came_since.tolist() == [3]
    assert len(empty.requests) == 0
    assert last.requests.query.tolist() == [2, 2]
    assert _rows(last.requests.history) == [[0, 3], [0, 3, 6]]
    assert _rows(last.requests.targets) == [[6], [5]]
    kept = _asked(EACH | {"data.seen_items": "keep"})
    assert _rows(kept[0].requests.targets) == [[2], [1]]
    assert _rows(kept[3].requests.history) == [[0, 1, 2, 1], [0, 3], [0, 3, 6]]


def test_one_who_comes_within_a_step_asks_from_the_second_event_on():
    events = [(0, 0, 0.0), (0, 1, 11.2), (0, 2, 11.7), (1, 3, 12.1), (1, 4, 12.2), (1, 5, 12.3), (0, 5, 18.0)]
    data = dataset(events, 12, EACH)
    first, *_ = (ask(data, step, Lived.of(data)) for step in steps_of(data))
    assert _rows(first.requests.history) == [[3], [3, 4]]
    assert _rows(first.requests.targets) == [[4], [5]]
    assert _rows(first.stale.history) == [[], []]
    assert (first.came_since.tolist(), first.without_past.tolist()) == ([1], [1])


def test_each_event_of_the_test_window_is_asked_for_once_whatever_the_step():
    log = np.random.default_rng(0)
    days = [*20 * log.random(600), *range(20)]  # some where a step begins
    events = [(int(log.integers(20)), int(log.integers(60)), float(day)) for day in days]
    per_step = {}
    for step in ("6h", "1d", "5d"):
        data = dataset(events, 12, {"rolling": {"step": step, "each_event": True}})
        asked = []
        for one in steps_of(data):
            asked.append(ask(data, one, Lived.of(data)).requests)
            assert ((asked[-1].time >= one.start.moment) & (asked[-1].time < one.end.moment)).all()
        per_step[step] = sorted(
            (int(part.time[row]), int(part.query[row]), part.history[row].tolist(), part.targets[row].tolist())
            for part in asked
            for row in range(len(part))
        )
    assert per_step["6h"] == per_step["1d"] == per_step["5d"]
    naive, before = [], {}
    for query, item, time in zip(data.log.query.tolist(), data.log.item.tolist(), data.log.time.tolist(), strict=True):
        history = before.setdefault(query, [])
        if time >= data.cuts.test.moment and history and item not in history:
            naive.append((time, query, list(history), [item]))
        history.append(item)
    assert per_step["1d"] == sorted(naive)


def test_steps_end_where_a_month_does_and_belong_to_it():
    events = [(0, 0, 0.0), (0, 1, 30.2), (0, 2, 30.7), (0, 3, 100.0)]  # from 2023-12-09; the test cut is 2024-01-09
    data = dataset(events, 31, {"rolling": {"step": "10d", "by": "month"}})
    steps = steps_of(data)
    assert [(step.start.moment - START) / DAY for step in steps] == [31, 41, 51, 54, 61, 71, 81, 83, 91]
    assert [step.end.moment for step in steps[:-1]] == [step.start.moment for step in steps[1:]]
    assert periods(data.config, steps).tolist() == [0, 0, 0, 1, 1, 1, 1, 2, 2]
    by_step = dataset(events, 31, {"rolling": {"step": "10d"}})
    assert periods(by_step.config, steps_of(by_step)).tolist() == list(range(7))


def test_months_need_a_clock(tmp_path):
    events = {"path": "events.csv", "query": "user", "item": "item", "order": "n", "meaning": "taken"}
    clockless = {"features": world.config().model_dump()["features"][:1], "data.segment": None, "data.events": events}
    with pytest.raises(ConfigError, match=r"rolling\.by: found 'month', expected 'step'"):
        check(world.config(clockless | {"rolling": {"by": "month"}, "data.path": str(tmp_path)}))


def test_stale_histories_end_at_the_test_cut():
    for asked in _asked():
        same = ("query", "time")
        assert all(np.array_equal(getattr(asked.stale, name), getattr(asked.requests, name)) for name in same)
        assert _rows(asked.stale.targets) == _rows(asked.requests.targets)
        cut = START + 12 * DAY
        assert (asked.stale.history_time.values < cut).all()
        known = [[item for item, at in zip(*pair, strict=True) if at < cut] for pair in _both(asked.requests)]
        assert _rows(asked.stale.history) == known
    assert _rows(_asked()[1].stale.history) == [[2, 0], []]


def _both(requests):
    return zip(_rows(requests.history), _rows(requests.history_time), strict=True)


def test_the_data_sets_rules_hold():
    kept = _asked({"data.seen_items": "keep"})
    assert _rows(kept[0].requests.targets) == [[2, 1]]
    assert kept[3].requests.query.tolist() == [0, 2]
    assert _rows(_asked({"split.targets": "last"})[1].requests.targets) == [[4], [6]]
    assert _rows(_asked({"split.horizon": "1d"})[1].requests.targets) == [[4], [5]]


def test_a_target_is_in_the_catalogue_when_its_step_begins():
    out = [0, 0, 0, 0, 0, 0, 14.5]  # item 6 enters within the second step
    asked = _asked(available=out)
    assert _rows(asked[1].requests.targets) == [[4], [5]]
    assert _rows(asked[3].requests.targets) == [[6, 5]]


def test_other_protocols_are_refused_before_anything_is_fitted(tmp_path):
    config = world.config({"split": {"protocol": "leave_last_out"}, "data.path": str(tmp_path)})
    with pytest.raises(ConfigError, match=r"split\.protocol: found 'leave_last_out', expected 'global_time'"):
        check(config)
    work = open_run(config, tmp_path)
    with pytest.raises(ConfigError, match="order of time"):
        replay_run(work, QUIET)
    assert not work.results


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"rolling.against": "popularity 8d"},
            r"rolling\.against: found 'popularity 8d', expected .* 'popularity 7d'",
        ),
        ({"rolling.step": "1s"}, r"rolling\.step: found '1s', 1 seconds, .* expected 2 to 1,000 steps"),
    ],
)
def test_what_the_tables_give_away_is_refused_before_anything_is_fitted(changes, message, tmp_path):
    time = world.log().time
    rows = pd.DataFrame({"user": world.log().query, "item": world.log().item, "time": time})
    rows.to_csv(tmp_path / "events.csv", index=False)
    features = world.config().model_dump()["features"][:1]
    alone = {"features": features, "data.segment": None, "data.items": {"id": "item"}, "data.queries": None}
    work = open_run(world.config(alone | {"data.path": str(tmp_path)} | changes), tmp_path)
    with pytest.raises(ConfigError, match=message):
        replay_run(work, QUIET)
    assert list(work.results) == ["prepare"]
    assert not list((tmp_path / ".stages").glob("*.partial"))


@pytest.mark.parametrize("step", ["30d", 7 * DAY, "1m"])
def test_a_step_that_gives_no_curve_is_refused(step):
    data = dataset(EVENTS, 12, {"rolling": {"step": step}})
    with pytest.raises(ConfigError, match=rf"rolling\.step: found '?{step}'?.* expected 2 to 1,000 steps"):
        steps_of(data)


def test_without_a_clock_steps_are_order_numbers():
    events = {"path": "events.csv", "query": "user", "item": "item", "order": "n", "meaning": "taken"}
    clockless = {"features": world.config().model_dump()["features"][:1], "data.segment": None, "data.events": events}
    assert step_length(world.config(clockless), 95) == 10
    assert step_length(world.config(clockless | {"rolling": {"step": 25}}), 95) == 25
    with pytest.raises(ConfigError, match="found 200, 200 order numbers, in a test window of 95"):
        step_length(world.config(clockless | {"rolling": {"step": 200}}), 95)

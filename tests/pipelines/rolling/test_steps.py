"""Steps and what is asked in them: by hand."""

import numpy as np
import pytest

from configs.errors import ConfigError
from pipelines.rolling.steps import ask, check_protocol, step_length, steps_of
from pipelines.run import open_run, replay_run
from pipelines.sequences import Sequences
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
    at_cut = Sequences.of(data.past(data.cuts.test), data.n_queries)
    return [ask(data, step, at_cut) for step in steps_of(data)]


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
    assert (first.came_since, first.without_past) == (0, 1)
    assert second.requests.query.tolist() == [1, 3]
    assert _rows(second.requests.history) == [[2, 0], [4]]
    assert _rows(second.requests.targets) == [[4], [5, 6]]
    assert second.requests.time.tolist() == [START + round(14.2 * DAY), START + round(14.5 * DAY)]
    assert (second.came_since, second.without_past) == (1, 0)
    assert len(empty.requests) == len(empty.stale) == 0
    assert last.requests.query.tolist() == [2]
    assert _rows(last.requests.history) == [[0, 3]]
    assert _rows(last.requests.targets) == [[6, 5]]


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
        check_protocol(config)
    work = open_run(config, tmp_path)
    with pytest.raises(ConfigError, match="order of time"):
        replay_run(work, QUIET)
    assert not work.results


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

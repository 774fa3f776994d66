"""What refreshing buys in worlds where that is known, and that no step sees itself or what comes after it."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from pipelines.baselines.popularity import Popularity
from pipelines.progress import Progress
from pipelines.rolling.contenders import popularity, retrained_towers, towers
from pipelines.rolling.replay import answer
from pipelines.rolling.steps import steps_of
from pipelines.train import new_towers
from pipelines.vectors import Vectors
from tests import world
from tests.pipelines.rolling.worlds import QUIET, Recent, dataset, replayed
from tests.world import DAY

TEST, DAYS = 12, 20  # the test cut, and the end of the log
KEEP = {"data.seen_items": "keep", "rolling": {"step": "1d"}}
NOTHING, ALL = (), ("histories", "index")


def _log(choose, queries=100, taken=3, seed=0):
    """Every day each query takes `taken` different items out of choose(query, day)."""
    rng = np.random.default_rng(seed)
    return [
        (query, item, day + rng.random())
        for day in range(DAYS)
        for query in range(queries)
        for item in rng.choice(choose(query, day), taken, replace=False)
    ]


def _contenders(data, blocks=4):
    vectors = Recent(data.n_items, blocks, data.trend.columns)
    return [towers(data, vectors), popularity(data, Popularity(DAY, name="popularity 1d"))]


def _difference(replay, contender, refreshed, base):
    (found,) = (
        one
        for one in replay.differences
        if (one.contender, one.base_contender) == (contender, contender)
        and (one.refreshed, one.base_refreshed) == (refreshed, base)
    )
    return found


def test_popularity_that_drifts_leaves_stale_counts_behind():
    # ten items are popular, and every day one of them gives way: yesterday's ten hold nine of today's
    data = dataset(_log(lambda query, day: np.arange(day, day + 10)), TEST, KEEP)
    replay = replayed(data, _contenders(data))
    nothing, refreshed = replay.of("popularity 1d")
    assert refreshed.refreshed == ("counts",)
    levels = [one.mean for one in nothing.by_step["recall@10"]]
    assert np.allclose(levels, 0.9 - 0.1 * np.arange(8), atol=0.05)
    assert all(abs(one.mean - 0.9) < 0.05 for one in refreshed.by_step["recall@10"])
    gain = _difference(replay, "popularity 1d", ("counts",), NOTHING)
    assert gain.overall["recall@10"].low > 0.3
    assert replay.unit == "day"
    assert gain.per_unit["recall@10"].low < 0.1 < gain.per_unit["recall@10"].high
    assert gain.per_unit["recall@10"].high - gain.per_unit["recall@10"].low < 0.02


def test_tastes_that_switch_leave_stale_histories_behind():
    # every query moves on to the next block each third day; popularity knows nothing of it
    data = dataset(_log(lambda query, day: np.arange((query + day // 3) % 4, 40, 4)), TEST, KEEP)
    replay = replayed(data, _contenders(data))
    histories = _difference(replay, "towers", ("histories",), NOTHING)
    assert histories.overall["recall@10"].low > 0.4
    assert _difference(replay, "towers", ALL, ("index",)).overall == histories.overall
    assert _difference(replay, "towers", ("index",), NOTHING).overall["recall@10"].mean == 0
    # the day of the cut is one of moving on, and so is every third; the day after, histories know
    recall = {curve.refreshed: [one.mean for one in curve.by_step["recall@10"]] for curve in replay.of("towers")}
    assert recall["histories",] == [0, 1, 1, 0, 1, 1, 0, 1]
    assert recall[NOTHING] == [0] * 8


def test_where_nothing_changes_no_refresh_buys_anything():
    chance = np.random.default_rng(1).permutation(40)
    data = dataset(_log(lambda query, day: chance[: 20 + query % 20]), TEST, KEEP)
    replay = replayed(data, _contenders(data))
    for difference in replay.differences:
        if not difference.between:
            for found in (difference.overall["recall@10"], difference.per_unit["recall@10"]):
                assert abs(found.mean) < 0.02
                assert found.low <= 0.005
                assert found.high >= -0.005


def test_new_items_enter_with_the_index_alone():
    # from day 14 on everyone takes odd items, which were not in the catalogue at the cut
    data = dataset(
        _log(lambda query, day: np.arange(day >= 14, 40, 2)),
        TEST,
        KEEP,
        available=[13.5 * (row % 2) for row in range(40)],
    )
    replay = replayed(data, _contenders(data, blocks=2))
    late = {
        (curve.contender, curve.refreshed): [one.mean for one in curve.by_step["recall@10"]][3:]
        for curve in replay.curves
    }
    for variant in (("towers", ALL), ("popularity 1d", ("counts",))):
        assert min(late[variant]) > 0.3
    for variant in (("towers", NOTHING), ("towers", ("histories",)), ("popularity 1d", NOTHING)):
        assert max(late[variant]) == 0


def test_all_variants_are_alike_in_the_first_step():
    data = dataset(_log(lambda query, day: np.arange(day, day + 10)), TEST, {"rolling": {"step": "1d"}})
    first, *_ = answer(data, steps_of(data), _contenders(data), QUIET)
    for name in ("towers", "popularity 1d"):
        one, *others = (found.items for (whose, _), found in first.lists.items() if whose == name)
        assert all(np.array_equal(one, other) for other in others)


def test_a_stale_history_does_not_filter_what_was_taken_since():
    data = dataset(_log(lambda query, day: np.arange(40), taken=1), TEST, {"rolling": {"step": "1d"}})
    for one in answer(data, steps_of(data), _contenders(data), QUIET):
        for (_, refreshed), found in one.lists.items():
            known = one.asked.requests if "histories" in refreshed else one.asked.stale
            seen = [np.isin(found.items[row], known.history[row]).any() for row in range(len(found.items))]
            assert not any(seen)
    now = one.lists["popularity 1d", NOTHING].items
    assert any(np.isin(now[row], one.asked.requests.history[row]).any() for row in range(len(now)))


class _Count(Progress):
    def __init__(self):
        super().__init__(quiet=True)
        self.steps = 0

    def advance(self, steps=1):
        self.steps += steps


SMALL = {
    "features": [f for f in world.config().model_dump()["features"] if f["name"] in ("item_id", "device")],
    "data.segment": None,
    "towers.history": {"encoder": "mean", "length": 6},
    "train.refit_epochs": 1,
    "split.test": 0.8,
    "split.ranker": 0.75,
    "rolling": {"step": "2d"},  # of 12 days
}


def _fitted(data):
    encoded = world.encoded(data)
    return Vectors(data.config, new_towers(data, encoded), encoded, data.trend_at(data.cuts.test))


def _four_steps(data, folder, progress=QUIET):
    """The first four, with a retraining before the third."""
    contenders = [
        towers(data, _fitted(data)),
        retrained_towers(data, _fitted(data), 2, folder, progress),
        popularity(data, Popularity(7 * DAY, name="popularity 7d")),
    ]
    return list(islice(answer(data, steps_of(data), contenders, QUIET), 4))


@pytest.mark.slow
def test_no_step_sees_its_own_or_later_events(tmp_path):
    log, config, third = world.log(), world.config(SMALL), 2
    plain = _four_steps(world.dataset(config, log), tmp_path / "plain")
    later = np.flatnonzero(log.time >= plain[third].step.start.moment)
    item = log.item.copy()
    item[later] = np.random.default_rng(0).permutation(item[later])
    other = _four_steps(world.dataset(config, replace(log, item=item)), tmp_path / "other")
    for ours, theirs in zip(plain[: third + 1], other[: third + 1], strict=True):
        # whether a query takes something new in the third step depends on it: those are compared that do in both
        common = np.intersect1d(ours.asked.requests.query, theirs.asked.requests.query)
        assert len(common) > 10
        for variant in ours.lists:
            rows = [one.lists[variant].items[np.isin(one.asked.requests.query, common)] for one in (ours, theirs)]
            assert np.array_equal(*rows), f"{variant} in step {ours.step.number} depends on the future"
    variant = "popularity 7d", ("histories", "counts")
    assert not np.array_equal(plain[-1].lists[variant].items[0], other[-1].lists[variant].items[0])


@pytest.mark.slow
def test_towers_are_retrained_every_n_steps_and_a_killed_replay_goes_on(tmp_path):
    data = world.dataset(world.config(SMALL), world.log())
    fitting = _Count()
    plain = _four_steps(data, tmp_path, fitting)
    assert fitting.steps > 0
    fixed, retrained = ("towers", ALL), ("towers", (*ALL, "towers"))
    alike = [np.array_equal(one.lists[fixed].items, one.lists[retrained].items) for one in plain]
    assert alike == [True, True, False, False]
    again = _Count()
    resumed = _four_steps(data, tmp_path, again)
    assert again.steps == 0
    for one, other in zip(plain, resumed, strict=True):
        assert np.array_equal(one.lists[retrained].items, other.lists[retrained].items)

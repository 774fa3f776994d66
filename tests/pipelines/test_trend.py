"""Trends: by hand, table against moment, and that no future reaches today's columns."""

import numpy as np
import pandas as pd
import pytest

from configs.errors import ConfigError
from pipelines.tables import Interactions
from pipelines.trend import Trend, available_times, bucket_of, listed_times, trend_of
from pipelines.trend_counts import trend_at, trends_of
from tests import world
from tests.pipelines.baselines.worlds import events

TREND = Trend(windows=(10, 40), bucket=5)
ITEMS = 8


def _log(seed=0, n=300):
    rng = np.random.default_rng(seed)
    rows = zip(
        rng.integers(0, 5, n).tolist(),
        rng.integers(0, ITEMS, n).tolist(),
        [100, *np.sort(rng.integers(100, 200, n - 1)).tolist()],
        rng.choice([1.0, 3.0], n).tolist(),
        strict=True,
    )
    return events([row for row in rows if row[2] >= AVAILABLE[row[1]]])


AVAILABLE = np.array([100, 100, 100, 100, 100, 133, 177, 500])


def _table(trend, log):
    return trends_of(trend, log, AVAILABLE, beforehand=True).of(None)


def test_by_hand():
    log = events([(0, 0, 100), (0, 1, 101, 3.0), (0, 1, 121)])
    columns = trend_at(Trend(windows=(10,), bucket=5, prior=2.0), log, np.array([100, 100, 119]), moment=122)
    # of all 5, each of three items is expected to take 5 / 3; but the last was listed for the last event alone
    ever = (np.array([1, 4, 0]) + 2) / (np.array([5, 5, 1]) / 3 + 2)
    recent = (np.array([0, 1, 0]) + 2 * ever) / (1 / 3 + 2)  # one event within 10
    np.testing.assert_allclose(columns[:, 0], np.log(ever), rtol=1e-5)
    np.testing.assert_allclose(columns[:, 1], np.log(recent), rtol=1e-5)
    np.testing.assert_allclose(columns[:, 2], np.log1p([22 / 5, 22 / 5, 3 / 5]), rtol=1e-5)


def test_the_longest_window_comes_first_and_is_what_is_expected_of_the_next():
    log = events([(0, 0, 100), (0, 1, 150), (0, 1, 155), (0, 0, 158)])
    columns = trend_at(Trend((2, 20), bucket=1, prior=1.0), log, np.array([100, 100]), moment=160)
    long = (np.array([1, 2]) + 1) / (3 / 2 + 1)  # of all time, both are average
    np.testing.assert_allclose(columns[:, :-1].T, np.log([[1, 1], long, (np.array([1, 0]) + long) / 1.5]), atol=1e-6)


def test_an_item_just_listed_trends_like_an_average_one_and_above_what_nobody_wants():
    log = events([(0, 0, time) for time in range(100, 200)])
    columns = trend_at(TREND, log, np.array([100, 100, 200, 200]), moment=200)
    np.testing.assert_allclose(columns[2:], 0, atol=1e-6)
    assert (columns[0, :-1] > 0.2).all()
    assert (columns[1, :-1] < -0.2).all()


def test_an_item_taken_before_its_date_counts_as_listed_from_then_on():
    log = events([(0, 0, 100), (0, 1, 120), (0, 0, 140)])
    dated = trend_at(TREND, log, np.array([100, 150]), moment=160)
    np.testing.assert_array_equal(dated, trend_at(TREND, log, np.array([100, 120]), moment=160))
    assert listed_times(log, np.array([100, 150])).tolist() == [100, 120]
    before = trend_at(TREND, log, np.array([100, 150]), moment=120)
    np.testing.assert_array_equal(before[1], 0)


@pytest.mark.parametrize("windows", [(10, 40), (3,), (12, 1000)])
def test_the_table_at_a_buckets_start_is_the_trend_at_that_moment(windows):
    trend, log = Trend(windows=windows, bucket=5), _log()
    table = _table(trend, log)
    assert table.shape == (20, ITEMS, trend.columns)
    for bucket in range(20):
        now = trend_at(trend, log, AVAILABLE, 100 + 5 * bucket)
        np.testing.assert_allclose(table[bucket], now, rtol=1e-5, atol=1e-5)


def test_the_first_bucket_knows_nothing():
    columns = _table(TREND, _log())[0]
    np.testing.assert_allclose(columns[:, :-1], 0, atol=1e-6)


@pytest.mark.parametrize("moment", [100, 120, 153, 199])
def test_neither_the_order_nor_the_absence_of_the_future_shows(moment):
    log, rng = _log(), np.random.default_rng(1)
    past = log.before(moment)
    shuffled = log.item.copy()
    shuffled[len(past) :] = rng.integers(0, ITEMS, len(log) - len(past))
    weights = log.weight.copy()
    weights[len(past) :] = 99
    other = Interactions(log.query, shuffled, log.time, weights)
    today = trend_at(TREND, log, AVAILABLE, moment)
    np.testing.assert_array_equal(trend_at(TREND, other, AVAILABLE, moment), today)
    np.testing.assert_array_equal(trend_at(TREND, past, AVAILABLE, moment), today)
    buckets = (moment - 100) // TREND.bucket + 1
    table = _table(TREND, log)[:buckets]
    np.testing.assert_array_equal(_table(TREND, other)[:buckets], table)


def test_an_event_counts_only_after_its_moment():
    log = _log()
    at = trend_at(TREND, log, AVAILABLE, 150)
    with_more = events([*zip(log.query, log.item, log.time, log.weight, strict=True), (0, 2, 150, 50.0)])
    np.testing.assert_array_equal(trend_at(TREND, with_more, AVAILABLE, 150), at)
    assert (trend_at(TREND, with_more, AVAILABLE, 151)[2] > at[2])[:2].all()


def test_unreleased_items_have_no_age_and_enter_in_their_bucket():
    columns = trend_at(TREND, _log(), AVAILABLE, 150)
    np.testing.assert_allclose(columns[:, -1], np.log1p([10, 10, 10, 10, 10, 3.4, 0, 0]), rtol=1e-5)
    assert bucket_of(TREND, _log().time[0], AVAILABLE).tolist() == [0, 0, 0, 0, 0, 6, 15, 80]


def test_items_without_a_date_are_there_from_the_start():
    found = available_times(np.array([np.nan, 150.0, 3.0]), _log(), 3)
    assert found.tolist() == [100, 150, 3]
    assert found.dtype == np.int64


def test_a_clock_gives_days_and_an_order_shares_of_its_span():
    log = events([(0, 0, 0), (0, 0, 2000)])
    assert trend_of(world.config(), log) == Trend((86_400, 7 * 86_400, 30 * 86_400), 86_400)
    events_table = {"path": "e.csv", "query": "u", "item": "i", "order": "o", "meaning": "taken"}
    features = [{"name": "item_id", "table": "items", "kind": "id"}]
    by_order = {"data.events": events_table, "features": features, "data.segment": None}
    assert trend_of(world.config(by_order), log) == Trend((20, 100, 500), 20)
    assert trend_of(world.config(by_order), events([(0, 0, 5), (0, 0, 6)])) == Trend((1, 5, 25), 1)
    chosen = world.config(by_order | {"trend": {"windows": [50], "bucket": 10, "prior": 3}})
    assert trend_of(chosen, log) == Trend((50,), 10, prior=3.0)


def test_too_large_a_table_is_refused_with_the_key_to_change():
    log = events([(0, 0, 0), (0, 0, 10**9)])
    with pytest.raises(ConfigError, match=r"trend.bucket: 1 gives 1000000001 buckets x 8 items, .* choose a longer"):
        trends_of(Trend((10,), 1), log, np.zeros(8, np.int64), beforehand=True)


def test_without_trends_there_are_no_columns():
    log, off = _log(), Trend(windows=(10, 40), bucket=5, enabled=False)
    assert off.columns == 0
    assert trend_at(off, log, AVAILABLE, 150).shape == (ITEMS, 0)
    assert _table(off, log).shape == (20, ITEMS, 0)
    assert not trend_of(world.config({"trend.enabled": False}), log).enabled


@pytest.mark.parametrize("told", [{"bucket": "14d"}, {"windows": ["7d", "7d"]}, {"windows": ["1h", "7d"]}])
def test_windows_that_buckets_make_alike_or_longer_are_refused(told):
    with pytest.raises(ConfigError, match=r"trend.windows: .* in buckets of (14d|1d), expected each to hold another"):
        trend_of(world.config({"trend": told}), _log())


def test_windows_of_some_long_buckets_are_counted_in_these():
    assert trend_of(world.config({"trend": {"bucket": "14d", "windows": ["30d", "14d"]}}), _log()).widths == (2, 1)


def test_an_undated_item_that_nobody_took_is_as_old_as_the_log_or_just_listed():
    log, items, trends = world.log(), world.items(), {}
    log = log.take(np.flatnonzero((log.item != 4) & (log.item != 5)))
    items["available_from"] = pd.array([world.START if row == 5 else pd.NA for row in range(len(items))], "Int64")
    for undated in ("old", "new"):
        data = world.dataset(world.config({"trend.undated": undated}), log, items)
        trends[undated] = data.trend_at(data.cuts.test)
    np.testing.assert_array_equal(trends["new"][4], 0)
    assert (trends["old"][4][:-1] < -0.1).all()
    others = np.arange(len(items)) != 4  # what was taken, and what has a date
    np.testing.assert_array_equal(trends["new"][others], trends["old"][others])

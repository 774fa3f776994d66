"""Trends worked out as they are asked for are those worked out beforehand, and both are what the log says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.trend import Trend, listed_times
from pipelines.trend_counts import trends_of
from tests.pipelines.baselines.worlds import events
from towers.backend import tf, traced

START, BUCKET, ITEMS = 1_000, 10, 9
TREND = Trend(windows=(10, 50), bucket=BUCKET, prior=3.0)


def _log(seed, n=200, span=300):
    rng = np.random.default_rng(seed)
    item = rng.integers(0, ITEMS - 2, n)  # two items that nobody takes
    time = START + np.append(0, rng.integers(0, span, n - 1))
    return events([(0, *row) for row in zip(item.tolist(), time.tolist(), rng.choice([1.0, 2.5], n), strict=True)])


def _available(seed):
    return START + np.random.default_rng(seed).integers(-50, 350, ITEMS)


def _by_looking(log, available, bucket, item):
    """Columns of an item at the start of a bucket, event by event."""
    moment, listed, rate, columns = START + bucket * BUCKET, listed_times(log, available), 1.0, []
    there = max((listed <= moment).sum(), 1)
    for width in (bucket + 1, 5, 1):  # all time, then the windows, the longest first
        begin = moment - width * BUCKET
        within = (log.time >= begin) & (log.time < moment)
        since = (log.time >= max(begin, listed[item])) & (log.time < moment)
        taken, expected = log.weight[within & (log.item == item)].sum(), log.weight[since].sum() / there
        rate = (taken + TREND.prior * rate) / (expected + TREND.prior)
        columns.append(np.log(rate))
    return [*columns, np.log1p(max(moment - listed[item], 0) / BUCKET)]


@pytest.fixture(params=["beforehand", "as asked for"])
def case(request):
    log, available = _log(0), _available(1)
    return log, available, trends_of(TREND, log, available, request.param == "beforehand").on_device()


def test_trends_are_what_the_log_says(case):
    log, available, trends = case
    found = trends.of(None).numpy()
    assert found.shape == ((log.time[-1] - START) // BUCKET + 1, ITEMS, trends.columns)
    for bucket, item in [(0, 0), (0, 8), (3, 1), (7, 4), (12, 6), (len(found) - 1, 2), (len(found) - 1, 7)]:
        np.testing.assert_allclose(found[bucket, item], _by_looking(log, available, bucket, item), rtol=1e-4, atol=1e-5)


def test_drawn_items_have_the_trends_of_all_also_twice_and_none(case):
    _, _, trends = case
    everything = trends.of(None).numpy()
    for items in ([5, 0, 5, 8, 7], [8], []):
        np.testing.assert_allclose(trends.of(tf.constant(items, tf.int32)), everything[:, items], atol=1e-6)


def test_each_of_some_items_has_its_trends_in_its_own_bucket(case):
    _, _, trends = case
    everything = trends.of(None).numpy()
    rng = np.random.default_rng(2)
    bucket, item = rng.integers(0, len(everything), 40), rng.integers(0, ITEMS, 40)
    found = trends.at(tf.constant(bucket, tf.int32), tf.constant(item, tf.int32))
    np.testing.assert_allclose(found, everything[bucket, item], atol=1e-6)


def test_a_graph_serves_any_number_of_items(case):
    _, _, trends = case
    graph = traced(trends.of, input_signature=[tf.TensorSpec([None], tf.int32)])
    for items in ([1, 2, 3], [4]):
        np.testing.assert_allclose(graph(tf.constant(items)), trends.of(tf.constant(items)), atol=1e-6)
    assert graph.experimental_get_tracing_count() == 1


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 99),
    n=st.integers(1, 60),
    span=st.sampled_from([1, 9, 100, 1000]),
    windows=st.lists(st.integers(1, 2000), min_size=0, max_size=3),
)
def test_both_agree_in_any_world(seed, n, span, windows):
    trend, log, available = Trend(tuple(windows), BUCKET), _log(seed, n, span), _available(seed + 1)
    table, counts = (trends_of(trend, log, available, beforehand).on_device() for beforehand in (True, False))
    np.testing.assert_allclose(counts.of(None), table.of(None), atol=1e-6)
    bucket, item = (np.ravel(one).astype(np.int32) for one in np.indices(table.table.shape[:2]))
    np.testing.assert_allclose(counts.at(bucket, item), table.at(bucket, item), atol=1e-5)


def test_a_long_log_keeps_small_differences():
    """A hundred million events before, of which a sum in float32 knows the last eight no more."""
    log = events([(0, 0, START, 1e8), *[(0, 1, START + 100, 1.0)] * 3, (0, 0, START + 121, 1.0)])
    trends = trends_of(Trend((30,), BUCKET, prior=1.0), log, np.full(2, START), beforehand=False).on_device()
    last = trends.of(None).numpy()[12, 1]
    ever = 4 / (0.5 * (1e8 + 3) + 1)
    np.testing.assert_allclose(last[:2], np.log([ever, (3 + ever) / (1.5 + 1)]), rtol=1e-4)

"""Fair negatives and trends of moments, against look-ups one by one."""

import numpy as np
import pytest

from towers.backend import tf
from towers.comparison import comparable, trend_of_own, trend_scores
from towers.trends import TrendTable

ROWS, MOMENTS, ITEMS, BUCKETS, TRENDS = 4, 3, 12, 5, 2


@pytest.fixture
def case():
    rng = np.random.default_rng(1)
    return {
        "seen": np.array([[row, item] for row in range(ROWS) for item in rng.choice(ITEMS, 3 + row, replace=False)]),
        "listed": rng.integers(0, 60, ITEMS),
        "moment": rng.integers(0, 100, (ROWS, MOMENTS)),
        "bucket": rng.integers(0, BUCKETS, ROWS * MOMENTS).astype(np.int32),
        "trend": rng.normal(size=(BUCKETS, ITEMS, TRENDS)).astype(np.float32),
        "weights": rng.normal(size=(ROWS * MOMENTS, TRENDS)).astype(np.float32),
    }


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("items", [None, [5, 5, 0, 11, 3, 5, 7, 0], [2]])
def test_known_positives_and_items_not_out_yet_are_no_fair_negatives(case, items, listed):
    columns = None if items is None else tf.constant(items, tf.int32)
    seen, out = tf.constant(case["seen"], tf.int32), tf.constant(case["listed"]) if listed else None
    found = comparable(columns, seen, out, tf.constant(case["moment"]), ITEMS).numpy()
    known = {tuple(pair) for pair in case["seen"]}
    came = case["listed"] if listed else np.zeros(ITEMS)
    expected = [
        [(row, item) not in known and came[item] <= case["moment"][row, moment] for item in items or range(ITEMS)]
        for row in range(ROWS)
        for moment in range(MOMENTS)
    ]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("items", [None, [5, 5, 0, 11]])
def test_trends_are_those_of_the_moments_bucket(case, items):
    bucket, columns = case["bucket"], None if items is None else tf.constant(items, tf.int32)
    weights, trend = tf.constant(case["weights"]), TrendTable(tf.constant(case["trend"]))
    found = trend_scores(weights, tf.constant(bucket), columns, trend)
    expected = np.einsum("qt,qct->qc", case["weights"], case["trend"][bucket][:, items or range(ITEMS)])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    own = np.arange(ROWS * MOMENTS) % ITEMS
    found = trend_of_own(weights, tf.constant(bucket), tf.constant(own, tf.int32), trend)
    np.testing.assert_allclose(found, (case["weights"] * case["trend"][bucket, own]).sum(axis=1), rtol=1e-5, atol=1e-6)


def test_without_trends_nothing_is_added(case):
    nothing, bucket = TrendTable(tf.zeros([BUCKETS, ITEMS, 0])), tf.constant(case["bucket"])
    weights = tf.zeros([ROWS * MOMENTS, 0])
    assert trend_scores(weights, bucket, None, nothing) is None
    assert trend_of_own(weights, bucket, tf.zeros_like(bucket), nothing) is None

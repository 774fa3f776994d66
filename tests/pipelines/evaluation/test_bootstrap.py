import math

import numpy as np
import pytest

from pipelines.evaluation import bootstrap
from pipelines.evaluation.bootstrap import (
    Interval,
    interval,
    intervals,
    paired_interval,
    paired_intervals,
    paired_lift,
)


def test_covers_the_true_mean_as_often_as_promised():
    generator = np.random.default_rng(1)
    covered = 0
    for seed in range(300):
        found = interval(generator.normal(3.0, 2.0, 80), samples=400, seed=seed)
        covered += found.low <= 3.0 <= found.high
    assert 0.91 <= covered / 300 <= 0.98


def test_width_is_that_of_the_normal_interval():
    values = np.random.default_rng(2).normal(size=2000)
    found = interval(values)
    half = 1.96 * values.std() / math.sqrt(len(values))
    assert found.mean == values.mean()
    assert found.n == 2000
    assert found.low == pytest.approx(values.mean() - half, abs=half / 5)
    assert found.high == pytest.approx(values.mean() + half, abs=half / 5)


def test_a_higher_level_is_wider():
    values = np.random.default_rng(3).normal(size=200)
    narrow, wide = interval(values, level=0.8), interval(values, level=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_pairing_narrows_correlated_values():
    generator = np.random.default_rng(4)
    shared = generator.normal(size=500)
    a, b = shared + 0.1 * generator.normal(size=500), shared + 0.1 * generator.normal(size=500)
    paired, alone = paired_interval(a + 0.05, b), interval(a)
    assert paired.high - paired.low < (alone.high - alone.low) / 3
    assert paired.mean == pytest.approx(np.mean(a + 0.05 - b))
    assert paired.low > 0


def test_lift_of_a_constant_ratio_has_no_width():
    b = np.random.default_rng(5).uniform(size=100)
    found = paired_lift(1.2 * b, b)
    assert (found.mean, found.low, found.high) == pytest.approx((0.2, 0.2, 0.2))
    assert found.n == 100


def test_lift_resamples_both_sides_together():
    generator = np.random.default_rng(6)
    b = generator.uniform(size=400)
    a = b + 0.1 * generator.uniform(size=400)
    drawn = np.random.default_rng(0).integers(400, size=(2000, 400))
    lifts = np.sort(a[drawn].mean(axis=1) / b[drawn].mean(axis=1) - 1)
    found = paired_lift(a, b)
    assert found.mean == pytest.approx(a.mean() / b.mean() - 1)
    # 2.5 % and 97.5 % of positions 0 to 1999 are 49.975 and 1949.025, rounded outwards.
    assert (found.low, found.high) == pytest.approx((lifts[49], lifts[1950]))


def test_lift_over_nothing():
    nothing = np.zeros(50)
    assert paired_lift(nothing, nothing) == Interval(0.0, 0.0, 0.0, 50)
    assert paired_lift(nothing + 1, nothing) == Interval(math.inf, math.inf, math.inf, 50)
    rare = np.where(np.arange(50) == 0, 1.0, 0.0)  # absent from a third of the resamples
    assert paired_lift(nothing + 1, rare).high == math.inf
    assert paired_lift(nothing + 1, rare).low < 49


def test_seeded():
    values = np.random.default_rng(7).normal(size=50)
    assert interval(values, seed=1) == interval(values, seed=1)
    assert interval(values, seed=1) != interval(values, seed=2)


def bounds(found: Interval) -> tuple[float, float, float, int]:
    return (found.mean, found.low, found.high, found.n)


def test_chunks_do_not_change_the_result(monkeypatch):
    values = np.random.default_rng(8).normal(size=51)
    whole = interval(values, samples=100)
    monkeypatch.setattr(bootstrap, "_CHUNK", 51 * 7)
    assert bounds(interval(values, samples=100)) == pytest.approx(bounds(whole))
    monkeypatch.setattr(bootstrap, "_CHUNK", 1)
    assert bounds(interval(values, samples=100)) == pytest.approx(bounds(whole))


def test_equal_sides_have_no_lift_and_no_difference_to_the_last_digit():
    a = np.random.default_rng(9).uniform(size=999)
    assert paired_lift(a, a) == Interval(0.0, 0.0, 0.0, 999)
    assert paired_intervals(np.stack([a, a + 1, a]), a)[::2] == [Interval(0.0, 0.0, 0.0, 999)] * 2


def test_many_contenders_are_each_alone():
    generator = np.random.default_rng(10)
    rival, values = generator.uniform(size=70), generator.uniform(size=(5, 70))
    cluster = generator.integers(20, size=70)
    for ids in (None, cluster):
        for row, found in zip(values, paired_intervals(values, rival, cluster=ids), strict=True):
            assert bounds(found) == pytest.approx(bounds(paired_interval(row, rival, cluster=ids)))
        for row, found in zip(values, intervals(values, cluster=ids), strict=True):
            assert bounds(found) == pytest.approx(bounds(interval(row, cluster=ids)))
    assert paired_intervals(values[:0], rival) == []


def test_all_rows_come_from_the_same_resamples():
    a = np.random.default_rng(11).uniform(size=60)
    drawn = np.sort(a[np.random.default_rng(0).integers(60, size=(2000, 60))].mean(axis=1))
    first, second, third = intervals(np.stack([a, 3 * a, -a]))
    assert (first.low, first.high) == pytest.approx((drawn[49], drawn[1950]))
    assert (second.low, second.high) == pytest.approx((3 * first.low, 3 * first.high))
    assert (third.low, third.high) == pytest.approx((-first.high, -first.low))


def test_each_row_may_have_its_own_rival():
    generator = np.random.default_rng(12)
    a, b = generator.uniform(size=(2, 4, 50))
    alone = [bounds(paired_interval(x, y)) for x, y in zip(a, b, strict=True)]
    assert [bounds(found) for found in paired_intervals(a, b)] == [pytest.approx(one) for one in alone]


def test_what_cannot_be_said_is_left_out_of_its_own_row():
    generator = np.random.default_rng(13)
    values = generator.uniform(size=(2, 4000))
    values[1, generator.permutation(4000)[:3000]] = np.nan
    whole, part = intervals(values)
    assert (whole.n, part.n) == (4000, 1000)
    assert part.mean == pytest.approx(np.nanmean(values[1]))
    expected = interval(values[1][~np.isnan(values[1])])
    width = expected.high - expected.low
    assert (part.low, part.high) == pytest.approx((expected.low, expected.high), abs=0.1 * width)
    assert whole == interval(values[0])
    rival = np.where(np.arange(4000) < 10, np.nan, 0.0)
    pair = paired_intervals(values, rival)
    assert [found.n for found in pair] == [3990, int((~np.isnan(values[1, 10:])).sum())]
    rare = intervals(np.array([[0.25, np.nan, np.nan], [1.0, 2.0, 3.0]]))[0]  # most resamples do not draw it
    assert rare == Interval(0.25, 0.25, 0.25, 1)
    nothing = intervals(np.full((1, 5), np.nan))[0]
    assert nothing.n == 0
    assert math.isnan(nothing.mean)
    assert math.isnan(nothing.low)


def test_clusters_of_one_are_no_clusters():
    a, b = np.random.default_rng(14).uniform(size=(2, 90))
    assert bounds(interval(a, cluster=np.arange(90))) == pytest.approx(bounds(interval(a)))
    assert bounds(paired_lift(a, b, cluster=np.arange(90))) == pytest.approx(bounds(paired_lift(a, b)))


def test_a_cluster_goes_with_all_its_values():
    # Clusters of 1 and 3 values, drawn twice: means 1, 5, or (1 + 15) / 4, with odds 1/4, 1/4 and 1/2.
    values, cluster = np.array([5.0, 1.0, 5.0, 5.0]), np.array([7, 3, 7, 7])
    found = interval(values, level=0.4, cluster=cluster)
    assert bounds(found) == (4.0, 4.0, 4.0, 2)
    assert bounds(interval(values, level=0.6, cluster=cluster)) == (4.0, 1.0, 5.0, 2)
    lifted = paired_lift(values, np.ones(4), level=0.4, cluster=cluster)
    assert bounds(lifted) == (3.0, 3.0, 3.0, 2)


def test_resampling_by_cluster_covers_as_often_as_promised_where_resampling_values_does_not():
    generator = np.random.default_rng(15)
    covered = np.zeros(2)
    for seed in range(200):
        cluster = np.repeat(np.arange(60), generator.integers(1, 15, size=60))
        values = generator.normal(size=60)[cluster] + 0.5 * generator.normal(size=len(cluster))
        for way, ids in enumerate((cluster, None)):
            found = interval(values, samples=300, seed=seed, cluster=ids)
            covered[way] += found.low <= 0 <= found.high
    by_cluster, by_value = covered / 200
    assert 0.88 <= by_cluster <= 0.99
    assert by_value < 0.7


def test_no_values_have_no_interval():
    for found in (interval(np.zeros(0)), paired_lift(np.zeros(0), np.zeros(0))):
        assert found.n == 0
        assert math.isnan(found.mean)
        assert math.isnan(found.low)
        assert math.isnan(found.high)


def test_refused():
    with pytest.raises(ValueError, match="got NaN or inf"):
        interval(np.array([1.0, np.nan]))
    with pytest.raises(ValueError, match="got 2 and 3"):
        paired_interval(np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match="level: got 95"):
        interval(np.zeros(2), level=95)
    with pytest.raises(ValueError, match="samples: got 0"):
        interval(np.zeros(2), samples=0)
    with pytest.raises(ValueError, match="got inf"):
        intervals(np.array([[1.0, np.inf]]))
    with pytest.raises(ValueError, match=r"rival: got shape \(3,\), expected \(2,\) or \(1, 2\)"):
        paired_intervals(np.zeros((1, 2)), np.zeros(3))
    with pytest.raises(ValueError, match="cluster: got 3 ids, expected 2"):
        interval(np.zeros(2), cluster=np.arange(3))
    with pytest.raises(ValueError, match="got NaN or inf"):
        paired_lift(np.array([1.0, np.nan]), np.ones(2))

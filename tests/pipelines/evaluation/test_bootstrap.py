import math

import numpy as np
import pytest

from pipelines.evaluation import bootstrap
from pipelines.evaluation.bootstrap import Interval, interval, paired_interval, paired_lift


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


def test_chunks_do_not_change_the_result(monkeypatch):
    values = np.random.default_rng(8).normal(size=51)
    whole = interval(values, samples=100)
    monkeypatch.setattr(bootstrap, "_CHUNK", 51 * 7)
    assert interval(values, samples=100) == whole
    monkeypatch.setattr(bootstrap, "_CHUNK", 1)
    assert interval(values, samples=100) == whole


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

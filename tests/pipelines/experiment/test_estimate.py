from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from pipelines.experiment.estimate import Sample, compare, variances
from pipelines.experiment.sequential import boundary


def test_means_against_numbers_worked_by_hand() -> None:
    # variances 1 and 4 over 3 units each: error sqrt(1/3 + 4/3) = 1.290994
    found = compare(Sample(np.array([1.0, 2, 3])), Sample(np.array([2.0, 4, 6])))
    assert (found.control, found.treatment, found.difference, found.units) == (2, 4, 2, 6)
    assert found.error == pytest.approx(math.sqrt(5 / 3))
    assert found.kept == 1
    fixed, sequential = found.fixed(0.95), found.sequential(0.95, 100)
    assert fixed.low == pytest.approx(2 - 1.959964 * found.error)
    assert sequential.high == pytest.approx(2 + boundary(6, 100, 0.95) * found.error)


def test_a_ratio_against_numbers_worked_by_hand() -> None:
    # control 2 / 4: terms (N - D / 2) / 2 = -1/2, 1/2, of variance 1/2; treatment 3 / 4, terms (N - 3 D / 4) / 2 =
    # (1 - 9/4) / 2 = -5/8 and (2 - 3/4) / 2 = 5/8, of variance 25/32
    control = Sample(np.array([0.0, 2]), np.array([2.0, 2]))
    treatment = Sample(np.array([1.0, 2]), np.array([3.0, 1]))
    found = compare(control, treatment)
    assert (found.control, found.treatment) == (0.5, 0.75)
    assert found.error == pytest.approx(math.sqrt(1 / 4 + 25 / 64))


def _arms(seed: int = 0, effect: float = 0.0) -> tuple[Sample, Sample]:
    rng = np.random.default_rng(seed)

    def arm(shift: float) -> Sample:
        taste = rng.gamma(2, 1, 3000)
        lists = 1 + rng.poisson(3 * taste)
        return Sample(
            rng.poisson(lists * (0.2 + shift)).astype(float), lists.astype(float), rng.poisson(taste).astype(float)
        )

    return arm(0.0), arm(effect)


def test_the_error_of_a_ratio_is_that_of_resampled_units() -> None:
    rng, (control, treatment) = np.random.default_rng(1), _arms()

    def resampled(sample: Sample) -> float:
        rows = rng.integers(0, len(sample), len(sample))
        assert sample.denominator is not None
        return sample.numerator[rows].sum() / sample.denominator[rows].sum()

    drawn = [resampled(treatment) - resampled(control) for _ in range(1000)]
    assert compare(control, treatment, cuped=False).error == pytest.approx(np.std(drawn), rel=0.1)


def test_cuped_of_a_mean_is_regression_on_what_was_before() -> None:
    control, treatment = (Sample(arm.numerator, None, arm.before) for arm in _arms(effect=0.05))
    found = compare(control, treatment)
    treated = np.repeat([0.0, 1.0], 3000)
    columns = np.column_stack([np.ones(6000), treated, np.concatenate([control.before, treatment.before])])
    outcome = np.concatenate([control.numerator, treatment.numerator])
    fitted = np.linalg.lstsq(columns, outcome, rcond=None)[0]
    assert found.difference == pytest.approx(fitted[1], abs=1e-8)
    assert (found.control + found.treatment) / 2 == pytest.approx(outcome.mean())  # levels stay where they are
    assert found.kept < 0.9
    assert found.error == pytest.approx(math.sqrt(found.kept) * compare(control, treatment, cuped=False).error)


def test_without_a_before_or_where_it_is_all_alike_nothing_is_adjusted() -> None:
    control, treatment = _arms()
    plain = compare(Sample(control.numerator), Sample(treatment.numerator))
    flat = compare(*(Sample(arm.numerator, None, np.ones(len(arm))) for arm in (control, treatment)))
    half = compare(Sample(control.numerator, None, control.before), Sample(treatment.numerator))
    assert plain == flat == half


def test_units_that_are_all_alike_have_no_error() -> None:
    found = compare(Sample(np.zeros(5)), Sample(np.zeros(5)))
    assert (found.difference, found.error, found.kept, found.normal) == (0, 0, 1, True)


def test_skewness_of_the_difference() -> None:
    rng = np.random.default_rng(2)
    heavy, light = Sample(rng.lognormal(0, 1.5, 400)), Sample(rng.normal(0, 1, 400))
    assert not compare(light, heavy).normal
    found = compare(Sample(np.zeros(400)), heavy)
    assert found.skewness == pytest.approx(stats.skew(heavy.numerator) / math.sqrt(400), rel=0.01)
    assert abs(compare(heavy, Sample(heavy.numerator[::-1])).skewness) < 1e-12  # alike, they cancel


def test_variances_before_and_after_cuped() -> None:
    units = _arms()[0]
    level, plain, left = variances(Sample(units.numerator, None, units.before))
    slope, corner = np.polyfit(units.before, units.numerator, 1)
    assert level == pytest.approx(units.numerator.mean())
    assert plain == pytest.approx(units.numerator.var(ddof=1))
    assert left == pytest.approx((units.numerator - slope * units.before - corner).var(ddof=1))
    assert variances(Sample(units.numerator)) == (level, plain, plain)

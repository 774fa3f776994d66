"""Whether intervals hold what they promise, in the simulated world; the short form of `make bench-experiments`.

The draws are fixed, and bounds are about three errors of a share of so many tests: .02 of .95 in 1,000, .054 of .8 and
.03 of .05 in 500.
"""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.experiment.estimate import compare
from tests.bench.ab_world import draw, policies, shop
from tests.bench.experiments import DOSE, coverage, mismatches, off_policies, peeking, power

TESTS = 500


def test_the_world_tells_the_truth_about_itself():
    """The effect that is summed up over users is what a test of half a million of them sees."""
    drawn = draw(np.random.default_rng(0), 500_000, DOSE)
    for metric in ("events", "conversion", "events_per_list"):
        found = compare(*drawn.samples(metric))
        assert abs(found.difference - shop().effect(metric, DOSE)) < 3 * found.error
        assert abs(found.control - shop().level(metric, 0)) < 3 * found.error
    assert shop().effect("events", DOSE) > 0.05 * shop().level("events", 0)


@pytest.mark.parametrize("metric", ["events", "conversion", "events_per_list"])
def test_fixed_intervals_hold_the_truth_and_cuped_only_makes_them_narrower(metric):
    truth = shop().effect(metric, DOSE)
    (plain, without), (adjusted, with_) = (coverage(metric, 2 * TESTS, cuped, units=800) for cuped in (False, True))
    assert 0.93 <= plain <= 0.97
    assert 0.93 <= adjusted <= 0.97
    for found in (without, with_):
        gaps = np.array([one.difference for one in found]) - truth
        assert abs(gaps.mean()) < 3 * gaps.std() / len(gaps) ** 0.5
    kept = np.mean([one.kept for one in with_])
    spread = np.var([one.difference for one in with_]) / np.var([one.difference for one in without])
    assert kept < 0.9
    assert spread == pytest.approx(kept, rel=0.25)  # as much narrower as is said


def test_who_looks_every_day_is_seldom_fooled_by_the_sequential_interval_and_often_by_the_fixed():
    found = peeking(TESTS, units=800, planned=800, days=14)
    assert found.sequential <= 0.08
    assert found.sequential_window <= 0.08
    assert found.fixed > 0.12


@pytest.mark.parametrize("always_valid", [False, True])
def test_a_planted_effect_is_found_as_often_as_promised(always_valid):
    assert power("conversion", TESTS, always_valid, dose=DOSE)[0] == pytest.approx(0.8, abs=0.054)


def test_uneven_arms_are_found_and_even_ones_are_not():
    assert mismatches(5000, 0.0) <= 0.003
    assert mismatches(TESTS, 0.1) > 0.95


def test_off_policy_intervals_hold_the_true_value():
    found, truth = off_policies(TESTS, queries=400), policies().value
    for name in ("ips", "snips", "dr"):
        held = np.mean([getattr(one, name).low <= truth <= getattr(one, name).high for one in found])
        assert 0.92 <= held <= 0.98, name
        means = np.array([getattr(one, name).mean for one in found])
        assert abs(means.mean() - truth) < 3 * means.std() / TESTS**0.5 + 0.005 * truth, name
    assert np.mean([one.logged.mean for one in found]) < truth / 2

"""`make bench-experiments`: whether intervals of A/B tests and of off-policy estimates are what they say they are.

Thousands of tests in the simulated world, where the truth is known (`tests/bench/ab_world.py`). A share measured over n
tests is itself uncertain by sqrt(p (1 - p) / n), which the goals allow for where they say "within simulation error".
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipelines.experiment.balance import LIMIT, balance
from pipelines.experiment.estimate import Estimate, Sample, compare, variances
from pipelines.experiment.off_policy import Value, off_policy
from pipelines.experiment.power import units_needed
from tests.bench.ab_world import DAYS, METRICS, draw, draw_actions, policies, shop
from tests.bench.harness import Row, bench

LEVEL, UNITS, DOSE = 0.95, 4_000, 0.1
SMALL_DOSE = 0.05  # for power, which is reckoned as if an effect did not change the variance: a large one does
TESTS = 2_000


@dataclass(frozen=True)
class Peeked:
    """Tests without an effect that found one, by the interval and by what counts as outcome, looked at every day."""

    sequential: float
    sequential_window: float
    fixed: float


def coverage(metric: str, tests: int, cuped: bool, units: int = UNITS, seed: int = 0) -> tuple[float, list[Estimate]]:
    """Share of fixed 95 % intervals that hold the true effect, and the estimates."""
    rng, truth = np.random.default_rng([seed, 1]), shop().effect(metric, DOSE)
    found = [compare(*draw(rng, units, DOSE).samples(metric), cuped=cuped) for _ in range(tests)]
    return float(np.mean([_holds(one, truth) for one in found])), found


def _holds(found: Estimate, truth: float) -> bool:
    interval = found.fixed(LEVEL)
    return interval.low <= truth <= interval.high


def peeking(tests: int, units: int = UNITS, planned: float = UNITS, days: int = DAYS, seed: int = 0) -> Peeked:
    """Looks at tests of nothing every day from the first on."""
    rng = np.random.default_rng([seed, 2])
    alarms = np.array([_alarms(rng, units, planned, days) for _ in range(tests)])
    return Peeked(*map(float, alarms.mean(axis=0)))


def _alarms(rng: np.random.Generator, units: int, planned: float, days: int) -> tuple[bool, bool, bool]:
    drawn = draw(rng, units, 0.0, looks=days, days=days)
    whole = [compare(*drawn.samples("events", look)) for look in range(days)]
    seven = [compare(*drawn.samples("events", look, window=7)) for look in range(6, days)]
    fixed = any(not _holds(one, 0.0) for one in whole)
    return _found(whole, planned), _found(seven, planned), fixed


def _found(looks: list[Estimate], planned: float) -> bool:
    intervals = (one.sequential(LEVEL, planned) for one in looks)
    return any(interval.low > 0 or interval.high < 0 for interval in intervals)


def power(metric: str, tests: int, always_valid: bool, dose: float = SMALL_DOSE, seed: int = 0) -> tuple[float, int]:
    """Share of tests that find the planted effect with as many units as are said to find it in 80 %, and the units.

    The variance is measured on a log without an effect, as a person would.
    """
    rng = np.random.default_rng([seed, 3])
    control, treatment = draw(rng, 100_000, 0.0).samples(metric)
    together = Sample(np.concatenate([control.numerator, treatment.numerator]))
    needed = 2 * units_needed(variances(together)[1], shop().effect(metric, dose), always_valid=always_valid)
    asked = round(needed / -np.expm1(-shop().rate * DAYS).mean())  # some users never ask for a list
    found = (compare(*draw(rng, asked, dose).samples(metric), cuped=False) for _ in range(tests))
    intervals = (one.sequential(LEVEL, needed) if always_valid else one.fixed(LEVEL) for one in found)
    return float(np.mean([interval.low > 0 for interval in intervals])), needed


def mismatches(tests: int, lost: float, seed: int = 0) -> float:
    """Share of tests with 20,000 units whose arms are found to be of wrong sizes, a share of one arm's units lost."""
    rng = np.random.default_rng([seed, 4])
    treated = rng.binomial(20_000, 0.5, tests)
    kept = rng.binomial(treated, 1 - lost)
    equal = {"control": 0.5, "treatment": 0.5}
    units = ({"control": 20_000 - int(n), "treatment": int(k)} for n, k in zip(treated, kept, strict=True))
    return float(np.mean([not balance(one, equal).sound for one in units]))


def off_policies(tests: int, queries: int = 1_000, seed: int = 0) -> list[Value]:
    """Estimates of one target policy from as many logs."""
    rng = np.random.default_rng([seed, 5])
    return [off_policy(draw_actions(rng, queries)) for _ in range(tests)]


def measure(tests: int) -> Iterator[Row]:
    """Every figure."""
    yield from _coverage_rows(tests)
    yield from _peeking_rows(tests)
    yield from _power_rows(tests)
    fair, lost = mismatches(10 * tests, 0.0), mismatches(tests, 0.1)
    most = LIMIT + 2 * _error(LIMIT, 10 * tests)
    yield Row(
        "arms found uneven, fairly dealt", fair, "share", f"{10 * tests:,} tests", f"at most {most:.4f}", fair <= most
    )
    yield Row("arms found uneven, a tenth of one lost", lost, "share", "20,000 units", "at least .95", lost >= 0.95)
    yield from _off_policy_rows(tests)


def _coverage_rows(tests: int) -> Iterator[Row]:
    for metric in METRICS:
        truth = shop().effect(metric, DOSE)
        for cuped in (False, True):
            share, found = coverage(metric, tests, cuped)
            what = f"{metric}{', CUPED' if cuped else ''}: 95 % intervals that hold the truth"
            yield Row(what, share, "share", f"{tests:,} tests", ".93 to .97", 0.93 <= share <= 0.97)
            gaps = np.array([one.difference for one in found]) - truth
            bias = abs(float(gaps.mean())) / (float(gaps.std()) / math.sqrt(tests))
            said = f"true effect {truth:.4g} on {shop().level(metric, 0):.4g}"
            yield Row(f"{metric}{', CUPED' if cuped else ''}: bias", bias, "errors", said, "at most 3", bias <= 3)
        kept = float(np.mean([one.kept for one in found]))
        yield Row(f"{metric}: variance that CUPED leaves", kept, "share", "", "below 1", kept < 1)


def _peeking_rows(tests: int) -> Iterator[Row]:
    said = f"{tests:,} tests, {DAYS} looks"
    most = 0.05 + 2 * _error(0.05, tests)
    found = peeking(tests)
    for what, share in (
        ("sequential, all to date", found.sequential),
        ("sequential, 7 days of each unit", found.sequential_window),
    ):
        yield Row(f"false alarms, looked at daily: {what}", share, "share", said, f"at most {most:.3f}", share <= most)
    yield Row("false alarms, looked at daily: fixed", found.fixed, "share", said)
    far = peeking(tests // 2, planned=10 * UNITS).sequential
    yield Row("false alarms: planned for ten times the units", far, "share", said, f"at most {most:.3f}", far <= most)


def _power_rows(tests: int) -> Iterator[Row]:
    slack = 2 * _error(0.8, tests)
    for metric in ("events", "conversion"):
        for way in (False, True):
            share, units = power(metric, tests, way)
            what = f"{metric}: planted effect found, {'sequential' if way else 'fixed'} interval"
            goal = f".8 within {slack:.3f}"
            yield Row(what, share, "share", f"{units:,} units", goal, abs(share - 0.8) <= slack)


def _off_policy_rows(tests: int) -> Iterator[Row]:
    found, truth = off_policies(tests), policies().value
    logged = float(np.mean([one.logged.mean for one in found]))
    effective = float(np.mean([one.effective for one in found]))
    yield Row(
        "the target policy's true value", truth, "a row", f"the log's {logged:.4g}, {effective:,.0f} effective rows"
    )
    for name in ("ips", "snips", "dr"):
        intervals = [getattr(one, name) for one in found]
        held = float(np.mean([one.low <= truth <= one.high for one in intervals]))
        spread = float(np.std([one.mean for one in intervals]))
        mean = float(np.mean([one.mean for one in intervals]))
        said = f"mean {mean:.4g}, standard deviation {spread:.2g}"
        yield Row(
            f"{name.upper()}: 95 % intervals that hold it", held, "share", said, ".93 to .97", 0.93 <= held <= 0.97
        )


def _error(share: float, tests: int) -> float:
    return math.sqrt(share * (1 - share) / tests)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tests", type=int, default=TESTS)
    asked = parser.parse_args()
    bench("experiments", lambda: list(measure(asked.tests)))

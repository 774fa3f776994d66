from __future__ import annotations

import math

import numpy as np
import pytest

from pipelines.diagnose.timing import Silence, timing
from tests.pipelines.diagnose.worlds import DAY, START, observed, plain


def of(time, query=None, clock: bool = True):
    time = np.asarray(time)
    return timing(
        observed(np.zeros(len(time), int) if query is None else query, np.zeros(len(time), int), time, clock=clock)
    )


def test_silences_ties_and_moments_by_hand() -> None:
    found = of([0, 0, 10, 10, 10, 100, 130], query=[0, 0, 0, 1, 1, 0, 0])
    assert found.silences == (Silence(10, 100), Silence(100, 130), Silence(0, 10))
    assert found.typical == 5.0
    assert found.tied == pytest.approx(4 / 7)
    assert (found.crowded, found.moment) == (2, 3)
    assert (found.first, found.last) == (0, 130)


def test_a_hole_among_lively_days() -> None:
    rng = np.random.default_rng(0)
    day = rng.integers(0, 60, 6_000)
    quiet = (day == 20) | (day == 21)
    found = of(START + day[~quiet] * DAY + rng.integers(0, DAY, (~quiet).sum())).calendar
    assert found is not None
    assert (found.empty, found.holes, len(found.days)) == (2, 2, 60)
    assert found.days[20] == 0


def test_a_quiet_log_has_no_holes() -> None:
    found = of(START + np.arange(0, 60, 3) * DAY).calendar
    assert found is not None
    assert (found.empty, found.holes) == (38, 0)


@pytest.mark.parametrize(("unit", "name"), [(DAY, "day"), (3_600, "hour"), (60, "minute"), (1, "")])
def test_coarse_clocks(unit: int, name: str) -> None:
    time = START + np.random.default_rng(0).integers(0, 30 * DAY, 3_000)
    found = of(time // unit * unit).calendar
    assert found is not None
    assert found.coarse == name
    assert math.isnan(found.peak) == (name in ("day", "hour"))


def test_hours_and_weekdays() -> None:
    """Twice as much in the evening; the log starts on a Saturday."""
    hour = np.concatenate([np.arange(24).repeat(50), [20] * 50])
    found = of(np.sort(START + hour * 3_600)).calendar
    assert found is not None
    assert found.hours[20] == 100
    assert found.weekdays == (0, 0, 0, 0, 0, 1_250, 0)
    found = of(START + hour * 3_600 + 7).calendar
    assert found is not None
    assert found.peak == 2.0


def test_bursts() -> None:
    even = timing(plain()).half_in
    assert even == pytest.approx(0.5, abs=0.05)
    assert of(np.concatenate([np.arange(900), [100_000]])).half_in == 0.01


def test_an_order_has_no_calendar() -> None:
    found = of(range(100), clock=False)
    assert found.calendar is None
    assert found.tied == 0

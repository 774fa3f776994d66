"""How long a test would have to be: from figures that are given, or from what a log says of its own units."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from configs.errors import UserError
from pipelines.experiment.estimate import Sample, variances
from pipelines.experiment.logs import Reading, read
from pipelines.experiment.metrics import Metric, sample
from pipelines.experiment.power import WEEK, WEEKS, detectable_effect, units_needed

_SPANNED = 0.9  # of so many weeks: a log seldom begins and ends with a full day


@dataclass(frozen=True)
class Traffic:
    """A test of so many weeks: distinct units in all arms, their metric's level, the variance of a unit, and what CUPED
    leaves of that (the same where it does not apply)."""

    weeks: int
    units: int
    level: float
    variance: float
    left: float


@dataclass(frozen=True)
class Planned:
    """What a test of so many weeks could find, half of its units in each arm: absolute differences by the fixed
    interval, by the sequential one, and by the fixed one after CUPED."""

    traffic: Traffic
    fixed: float
    sequential: float
    cuped: float


@dataclass(frozen=True)
class Needed:
    """Units in each arm that find a difference of `effect` by the fixed and by the sequential interval, and weeks of
    the longest traffic that is known until the fixed one has them."""

    effect: float
    fixed: int
    sequential: int
    weeks: float


def given(mean: float, variance: float | None, weekly: int) -> list[Traffic]:
    """Traffic by hand, as many new units every week. variance: that of a share, unless given. Raises: UserError."""
    if variance is None:
        if not 0 < mean < 1:
            raise UserError(f"--variance: missing for --mean {mean:g}, which is no share between 0 and 1")
        variance = mean * (1 - mean)
    for option, value in (("--variance", variance), ("--weekly", weekly)):
        if not 0 < value < math.inf:
            raise UserError(f"{option}: found {value:g}, expected a number above 0")
    return [Traffic(weeks, weeks * weekly, mean, variance, variance) for weeks in WEEKS]


def measured(asked: Reading, metric: Metric) -> list[Traffic]:
    """The log's last 1, 2 and 4 weeks, each as if a test had begun with it, whatever arms there were.

    Weeks that the log does not span are left out. Raises: DataError, UserError.
    """
    return [traffic for weeks in WEEKS for traffic in _measured(asked, metric, weeks)]


def _measured(asked: Reading, metric: Metric, weeks: int) -> Iterator[Traffic]:
    log = read(replace(asked, last=weeks * WEEK), None, everyone=True)
    if log.span < _SPANNED * 7 * weeks or len(log.units) < 2:
        return
    units: Sample = sample(log, metric)
    level, variance, left = variances(units)
    yield Traffic(weeks, len(units), level, variance, left)


def plan(traffic: list[Traffic], power: float) -> list[Planned]:
    """What each could find. Raises: UserError."""
    return [_planned(one, power) for one in traffic]


def _planned(one: Traffic, power: float) -> Planned:
    if one.variance <= 0:
        raise UserError(f"power: all {one.units:,} units have {one.level:g}, which says nothing of how they vary")
    half = one.units / 2
    fixed, sequential = (detectable_effect(one.variance, half, power, always_valid=way) for way in (False, True))
    return Planned(one, fixed, sequential, detectable_effect(one.left, half, power))


def needed(effect: str, traffic: list[Traffic], power: float) -> Needed:
    """Of a difference such as "0.01", or "2%" of the level. Raises: UserError."""
    longest = traffic[-1]
    try:
        number = float(effect.removesuffix("%"))
    except ValueError:
        number = math.nan
    size = abs(number / 100 * longest.level if effect.endswith("%") else number)
    if not 0 < size < math.inf:
        raise UserError(f"--effect: found {effect!r}, expected a difference other than 0, e.g. 0.01 or 2%")
    fixed, sequential = (units_needed(longest.variance, size, power, always_valid=way) for way in (False, True))
    return Needed(size, fixed, sequential, longest.weeks * 2 * fixed / longest.units)

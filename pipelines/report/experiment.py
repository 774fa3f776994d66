"""What an A/B test could see: the smallest detectable effect for the traffic that the log shows.

Two proportions, two-sided 5%, 80% power, half of the queries in each arm, equal variances
(Kohavi, Tang and Xu, 2020, ch. 17): effect = (z_97.5 + z_80) x sqrt(2 p (1 - p) / n), n queries an arm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from pipelines.evaluation.bootstrap import Interval
from pipelines.evaluation.results import Results
from pipelines.report.contenders import difference
from pipelines.tables import Interactions

WEEKS = (1, 2, 4)
_WEEK = 7 * 86400
_Z = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(0.8)


@dataclass(frozen=True)
class Detectable:
    """Smallest effect that a test of some weeks can detect, on `queries` distinct queries in both arms."""

    weeks: int
    queries: int
    absolute: float
    relative: float

    @property
    def possible(self) -> bool:
        """Whether the rate can rise by so much at all: no rate exceeds 1."""
        return self.absolute * (1 + 1 / self.relative) <= 1


@dataclass(frozen=True)
class Experiment:
    """A test of the final list against a rival, with the hit rate standing in for conversion.

    detectable: one for each duration that the log can tell of; needed: queries an arm to detect the measured
    difference, None where there is none to detect; problem: why (some of) it cannot be computed.
    """

    metric: str
    rate: float
    rival: str
    rival_rate: float
    difference: Interval
    detectable: tuple[Detectable, ...]
    needed: int | None
    problem: str | None

    @property
    def weeks(self) -> int | None:
        """The shortest duration in which the measured difference could be detected."""
        return next((d.weeks for d in self.detectable if self.difference.mean >= d.absolute), None)


def experiment(ours: Results, rival: str, theirs: Results, list_k: int, log: Interactions | None) -> Experiment:
    """Size a test; `log` is None for data without a clock, whose traffic has no rate."""
    metric = f"hit_rate@{list_k}"
    rate, gain = ours.mean(metric), difference(ours.metrics[metric], theirs.metrics[metric])
    traffic = weekly_traffic(log) if log is not None else {}
    problem = _problem(rate, log, traffic)
    detectable: tuple[Detectable, ...] = ()
    if 0 < rate < 1:
        effects = [(weeks, n, detectable_effect(rate, n / 2)) for weeks, n in traffic.items()]
        detectable = tuple(Detectable(weeks, n, effect, effect / rate) for weeks, n, effect in effects)
    needed = needed_per_arm(rate, gain.mean) if gain.mean > 0 and 0 < rate < 1 else None
    return Experiment(metric, rate, rival, theirs.mean(metric), gain, detectable, needed, problem)


def detectable_effect(rate: float, per_arm: float) -> float:
    """Smallest absolute difference to a conversion rate that `per_arm` queries in each arm detect."""
    return _Z * math.sqrt(2 * rate * (1 - rate) / per_arm)


def needed_per_arm(rate: float, effect: float) -> int:
    """Queries in each arm that detect an absolute difference of `effect`."""
    return math.ceil(2 * rate * (1 - rate) * (_Z / effect) ** 2)


def weekly_traffic(log: Interactions) -> dict[int, int]:
    """Distinct queries in the log's last 1, 2 and 4 full weeks, counted back from its end.

    Distinct over the whole duration, not weeks times a week's: a test assigns a query once, however often it
    returns. Durations that the log does not span are left out.
    """
    end, first = int(log.time[-1]) + 1, int(log.time[0])
    spans = [weeks for weeks in WEEKS if end - weeks * _WEEK >= first]
    return {weeks: len(np.unique(log.between(end - weeks * _WEEK, end).query)) for weeks in spans}


def _problem(rate: float, log: Interactions | None, traffic: dict[int, int]) -> str | None:
    if log is None:
        return "the data has an order but no clock, so its weekly traffic is not known"
    if not 0 < rate < 1:
        return f"the hit rate is {rate:.0f}, which says nothing about how much it varies"
    missing = [weeks for weeks in WEEKS if weeks not in traffic]
    return f"the log is shorter than {missing[0]} full week{'s' * (missing[0] > 1)}" if missing else None

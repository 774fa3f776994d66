"""How small an effect a test can find, and how many units it takes to find one.

Two means, two-sided, equal variances, half of the units in each arm (Kohavi, Tang and Xu, 2020, ch. 17):
effect = (z_(1 - alpha / 2) + z_power) x sqrt(2 variance / n), n units an arm. A unit is one value: what it does on
several occasions is added up.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from pipelines.experiment.sequential import boundary

WEEKS = (1, 2, 4)
WEEK = 7 * 86400
POWER, LEVEL = 0.8, 0.95


def detectable_effect(
    variance: float, per_arm: float, power: float = POWER, level: float = LEVEL, always_valid: bool = False
) -> float:
    """Smallest absolute difference of two means that `per_arm` units in each arm detect.

    always_valid: by the sequential interval, planned for as many units and looked at in the end at the latest.
    """
    return _distance(power, level, always_valid) * math.sqrt(2 * variance / per_arm)


def units_needed(
    variance: float, effect: float, power: float = POWER, level: float = LEVEL, always_valid: bool = False
) -> int:
    """Units in each arm that detect a difference of `effect`, which is above 0."""
    return math.ceil(2 * variance * (_distance(power, level, always_valid) / effect) ** 2)


def _distance(power: float, level: float, always_valid: bool) -> float:
    """Standard errors between no effect and one that is found with `power`."""
    found = boundary(1, 1, level) if always_valid else NormalDist().inv_cdf((1 + level) / 2)
    return found + NormalDist().inv_cdf(power)

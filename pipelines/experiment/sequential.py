"""Intervals that hold at every look: asymptotic confidence sequences.

A 95 % interval misses the truth one time in twenty at one look, and far more often at one of many. A confidence
sequence misses it at any look at all in at most one experiment in twenty, so an experiment may be looked at every day
and stopped at will. Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory and asymptotic
confidence sequences", Annals of Statistics 52 (2024): the boundary by a mixture of normals, in standard errors,

    b(t) = sqrt((t r^2 + 1) / (t r^2) x log((t r^2 + 1) / alpha^2))

after t units. It is tightest about the number of units planned, T, by r^2 = (-2 log alpha + log(-2 log alpha) + 1) / T,
which must be fixed beforehand; it holds whatever T is.

The theorem is of units that arrive one by one, each with its whole outcome: what `--window` makes of them. Without,
outcomes go on growing between looks. That a user who did more before does more afterwards makes looks more alike, not
less, and so false alarms rarer; `make bench-experiments` counts them both ways.
"""

from __future__ import annotations

import math

PLANNED = 10_000  # units that the boundary is tightest for, unless said otherwise


def boundary(units: float, planned: float, level: float) -> float:
    """Half the width of the interval after `units` units, in standard errors."""
    alpha = 1 - level
    surprise = -2 * math.log(alpha)
    scaled = units / planned * (surprise + math.log(surprise) + 1)
    return math.sqrt((scaled + 1) / scaled * math.log((scaled + 1) / alpha**2))

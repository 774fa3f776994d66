"""The difference between two arms of an experiment, and how sure it is.

Means per unit and ratios of two sums (events per list shown) are one thing: R = sum N / sum D over an arm's units, with
D = 1 for a mean. By the delta method its variance is that of the mean of (N - R D) / mean(D) over units (Deng, Knoblich
and Lu, "Applying the delta method in metric analytics", KDD 2018, section 2): what varies independently is units,
however many lists each was shown.

CUPED (Deng, Xu, Kohavi and Walker, "Improving the sensitivity of online controlled experiments by utilizing
pre-experiment data", WSDM 2013): from each arm's R is taken theta x (its mean of X less everyone's), X what a unit did
before it was first exposed, theta = cov / var within arms. X cannot depend on the arm, so nothing but chance is taken
away. On a ratio it is applied to the terms above.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from pipelines.evaluation.bootstrap import Interval
from pipelines.experiment.sequential import boundary

_ROUNDING = 1e-12  # of a level: an error as small is no error, and has no shape


@dataclass(frozen=True)
class Sample:
    """An arm's units under one metric: numerator, denominator and before (what CUPED adjusts for, or None), each
    float64 [n]. A denominator of None stands for ones."""

    numerator: np.ndarray
    denominator: np.ndarray | None = None
    before: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.numerator)


@dataclass(frozen=True)
class Estimate:
    """A treatment against a control.

    control, treatment: levels, adjusted where CUPED was; error: standard error of their difference; units: of both
    arms; kept: share of the variance that CUPED left, 1 without it; enough: units an arm from which a normal
    distribution is a fair picture of means so skewed (355 s^2, s the skewness; Kohavi et al., KDD 2014, rule 7).
    """

    control: float
    treatment: float
    error: float
    units: int
    kept: float
    skewness: float

    @property
    def normal(self) -> bool:
        """Whether the error is near enough to a normal one for intervals to be what they say: the mean of n values of
        skewness s has s / sqrt(n), and needs 355 s^2 of them (Kohavi et al., "Seven rules of thumb", KDD 2014)."""
        return abs(self.skewness) <= 355**-0.5

    @property
    def difference(self) -> float:
        """Treatment less control."""
        return self.treatment - self.control

    def fixed(self, level: float) -> Interval:
        """Interval for the one look that was planned."""
        return self._interval(NormalDist().inv_cdf((1 + level) / 2))

    def sequential(self, level: float, planned: float) -> Interval:
        """Interval for any number of looks; tightest about `planned` units in both arms."""
        return self._interval(boundary(self.units, planned, level))

    def _interval(self, errors: float) -> Interval:
        half = errors * self.error
        return Interval(self.difference, self.difference - half, self.difference + half, self.units)


def compare(control: Sample, treatment: Sample, cuped: bool = True) -> Estimate:
    """Estimate treatment less control; CUPED where both have what a unit did before. Needs two units an arm."""
    arms = control, treatment
    levels, terms = zip(*map(_linearised, arms), strict=True)
    plain = _error(terms)
    before = [arm.before for arm in arms if arm.before is not None]
    slope = _slope(terms, before) if cuped and len(before) == len(arms) else 0.0
    if slope:
        mean = np.concatenate(before).mean()
        levels = tuple(level - slope * float(x.mean() - mean) for level, x in zip(levels, before, strict=True))
        terms = tuple(term - slope * (x - x.mean()) for term, x in zip(terms, before, strict=True))
    error = _error(terms)
    kept = (error / plain) ** 2 if plain else 1.0
    units = len(control) + len(treatment)
    some = error > _ROUNDING * max(map(abs, levels))
    return Estimate(levels[0], levels[1], error, units, kept, _skewness(terms, error) if some else 0.0)


def _linearised(sample: Sample) -> tuple[float, np.ndarray]:
    """The arm's level and each unit's part in its chance error, of mean 0."""
    if sample.denominator is None:
        level = float(sample.numerator.mean())
        return level, sample.numerator - level
    scale = float(sample.denominator.mean())
    level = float(sample.numerator.mean()) / scale
    return level, (sample.numerator - level * sample.denominator) / scale


def _slope(terms: Sequence[np.ndarray], before: Sequence[np.ndarray]) -> float:
    """Of a unit's term on what it did before, within arms; 0 where all did alike."""
    product = square = 0.0
    for term, x in zip(terms, before, strict=True):
        centred = x - x.mean()
        product, square = product + float((term * centred).sum()), square + float((centred**2).sum())
    return product / square if square > 0 else 0.0


def _error(terms: Sequence[np.ndarray]) -> float:
    """Standard error of the difference of two means; each arm's terms have the mean 0."""
    return math.sqrt(sum(float((term**2).sum()) / (len(term) - 1) / len(term) for term in terms))


def _skewness(terms: Sequence[np.ndarray], error: float) -> float:
    """Of the difference of the means: third moments of arms as large cancel where they are alike."""
    control, treatment = (float((term * term * term).mean()) / len(term) ** 2 for term in terms)
    return (treatment - control) / error**3


def variances(units: Sample) -> tuple[float, float, float]:
    """Level of all units together, the variance of one unit's term, and what CUPED leaves of it."""
    level, term = _linearised(units)
    left = term
    if units.before is not None:
        left = term - _slope([term], [units.before]) * (units.before - units.before.mean())
    return level, float(term.var(ddof=1)), float(left.var(ddof=1))

"""Whether the arms are as large as they should be: the sample-ratio check.

A mismatch means that units were lost or dealt otherwise than planned, in one arm more than in another, and who is left
cannot be compared (Fabijan et al., "Diagnosing sample ratio mismatch in online controlled experiments", KDD 2019).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scipy.stats import chi2

LIMIT = 0.001
"""Below it nothing is concluded: at this limit one sound experiment in a thousand is stopped in error."""


@dataclass(frozen=True)
class Balance:
    """units, expected: by arm; p: of a chi-square test that the arms were dealt as expected."""

    units: Mapping[str, int]
    expected: Mapping[str, float]
    p: float

    @property
    def sound(self) -> bool:
        """Whether the experiment may be concluded from."""
        return self.p >= LIMIT


def balance(units: Mapping[str, int], shares: Mapping[str, float]) -> Balance:
    """units: by arm, an arm without any included; shares: by arm, above 0 in the same arms; scaled to add up to 1."""
    total, weight = sum(units.values()), sum(shares.values())
    expected = {arm: total * share / weight for arm, share in shares.items()}
    statistic = sum((units[arm] - expected[arm]) ** 2 / expected[arm] for arm in shares)
    return Balance(units, expected, float(chi2.sf(statistic, len(shares) - 1)))

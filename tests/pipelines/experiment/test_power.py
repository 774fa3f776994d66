from __future__ import annotations

import pytest
from scipy.stats import norm

from pipelines.experiment.power import detectable_effect, units_needed
from pipelines.experiment.sequential import boundary


def test_detectable_effect_against_a_number_worked_by_hand() -> None:
    # 1.95996 + 0.84162 = 2.80159; sqrt(2 x 0.3 x 0.7 / 1000) = sqrt(0.00042) = 0.0204939; product 0.0574155
    assert detectable_effect(0.3 * 0.7, 1000) == pytest.approx(0.0574155, abs=1e-6)


def test_units_needed_against_a_number_worked_by_hand() -> None:
    # 2 x 0.21 x (2.80159 / 0.03)^2 = 0.42 x 8720.98 = 3662.8
    assert units_needed(0.21, 0.03) == 3663
    assert units_needed(0.21, -0.03) == 3663


@pytest.mark.parametrize("always_valid", [False, True])
@pytest.mark.parametrize("power", [0.5, 0.8, 0.95])
def test_units_needed_detect_the_effect(power: float, always_valid: bool) -> None:
    units = units_needed(2.0, 0.1, power, always_valid=always_valid)
    assert detectable_effect(2.0, units, power, always_valid=always_valid) <= 0.1
    assert detectable_effect(2.0, units - 1, power, always_valid=always_valid) > 0.1
    # what power means: so far from 0 the estimate falls outside of the interval around 0 with that probability
    wide = boundary(1, 1, 0.95) if always_valid else norm.ppf(0.975)
    assert norm.sf(wide - 0.1 / (2 * 2.0 / units) ** 0.5) == pytest.approx(power, abs=0.002)


def test_a_sequential_test_takes_more() -> None:
    assert 1.5 < units_needed(1, 0.1, always_valid=True) / units_needed(1, 0.1) < 2.5

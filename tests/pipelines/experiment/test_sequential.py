from __future__ import annotations

import math

import numpy as np
import pytest

from pipelines.experiment.sequential import boundary


def test_boundary_against_a_number_worked_by_hand() -> None:
    # t r^2 = -2 ln .05 + ln(-2 ln .05) + 1 = 5.99146 + 1.79034 + 1 = 8.78180 at t = T;
    # sqrt(9.78180 / 8.78180 x ln(9.78180 / .0025)) = sqrt(1.11387 x 8.27202) = 3.03546
    assert boundary(500, 500, 0.95) == pytest.approx(3.03546, abs=1e-4)


def test_it_is_tightest_about_where_it_is_planned() -> None:
    def half_width(units: float, planned: float) -> float:
        return boundary(units, planned, 0.95) / math.sqrt(units)

    at = half_width(1000, 1000)
    assert all(half_width(1000, planned) > at for planned in (100, 500, 2000, 10_000))
    assert half_width(1000, 900) == pytest.approx(at, rel=1e-3)


def test_it_is_never_crossed_as_often_as_it_says() -> None:
    """A sum of normals at every step up to thirty times what was planned for."""
    rng, steps = np.random.default_rng(0), 3000
    wide = np.array([boundary(step, 100, 0.9) for step in range(1, steps + 1)]) * np.sqrt(np.arange(1, steps + 1))
    crossed = [(np.abs(np.cumsum(rng.standard_normal(steps))) > wide).any() for _ in range(1000)]
    assert 0.02 < np.mean(crossed) < 0.1  # and not for being far too wide

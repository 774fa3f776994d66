from __future__ import annotations

import math

import pytest

from pipelines.diagnose.problem import problem
from tests.pipelines.diagnose.worlds import DAY, START, observed


def test_repeats_are_counted_within_a_kind_and_by_the_day() -> None:
    """q0 views i0 three times (an hour, then two days apart) and buys it once: two repeats, one a day later."""
    found = problem(
        observed(
            query=[0, 0, 0, 0, 1, 1],
            item=[0, 0, 0, 0, 0, 1],
            time=[START, START + 3_600, START + 3_600, START + 2 * DAY, START, START],
            kinds=["view", "view", "buy", "view", "view", "view"],
            n_items=4,
        )
    )
    assert found.repeats == pytest.approx(2 / 6)
    assert found.later_repeats == pytest.approx(1 / 6)
    assert found.repeats_by_kind == {"buy": 0.0, "view": pytest.approx(2 / 5)}
    assert (found.items, found.taken, found.slots, found.choice, found.queries) == (4, 2, 5, 0.8, 2)


def test_an_order_has_no_days() -> None:
    found = problem(observed([0, 0], [0, 0], [1, 200_000], clock=False))
    assert found.repeats == 0.5
    assert math.isnan(found.later_repeats)

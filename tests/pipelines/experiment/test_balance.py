from __future__ import annotations

import pytest

from pipelines.experiment.balance import balance


def test_against_numbers_worked_by_hand() -> None:
    # (5200 - 5000)^2 / 5000 x 2 = 16, chi-square of 1: p = 6.334e-5
    uneven = balance({"a": 5200, "b": 4800}, {"a": 0.5, "b": 0.5})
    assert uneven.p == pytest.approx(6.334e-5, rel=1e-3)
    assert not uneven.sound
    # 100^2 / 5000 x 2 = 4: p = .0455
    assert balance({"a": 5100, "b": 4900}, {"a": 0.5, "b": 0.5}).p == pytest.approx(0.0455, abs=1e-4)


def test_shares_need_not_be_equal_nor_add_up_to_one() -> None:
    found = balance({"a": 9000, "b": 1000}, {"a": 0.45, "b": 0.05})
    assert found.expected == pytest.approx({"a": 9000, "b": 1000})
    assert found.p == pytest.approx(1)


def test_an_arm_that_nobody_reached_is_unsound() -> None:
    assert not balance({"a": 1000, "b": 0}, {"a": 0.5, "b": 0.5}).sound

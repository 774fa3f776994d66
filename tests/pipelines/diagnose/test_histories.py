from __future__ import annotations

import pytest

from pipelines.diagnose.histories import GROUPS, histories
from tests.pipelines.diagnose.worlds import START, observed

# q0 is there from the start, q1 comes in the ranker's window, q2 and q3 after the test cut, where i3 and i4 are new
LOG = (
    [0, 0, 0, 0, 0, 0, 1, 1, 0, 2, 2, 3],
    [0, 1, 2, 0, 1, 2, 0, 1, 3, 3, 0, 4],
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
)
SPLIT = {"validation": 0.3, "ranker": 0.5, "test": 0.7}  # at 3, 5 and 7


def test_newcomers_by_hand() -> None:
    found = histories(observed(LOG[0], LOG[1], [START + t for t in LOG[2]], split=SPLIT))
    validation, ranker, test = found.windows
    assert [window.events for window in found.windows] == [2, 2, 5]
    assert (validation.cold_queries, validation.cold_items, validation.returning) == (0.0, 0.0, 1.0)
    assert (ranker.cold_queries, ranker.first_events, ranker.returning) == (0.5, 0.5, 0.5)
    assert test.queries == 4
    assert test.cold_queries == pytest.approx(3 / 5)  # two of q2, one of q3
    assert test.first_events == pytest.approx(2 / 5)
    assert test.cold_items == pytest.approx(3 / 5)  # i3 twice, i4 once
    assert test.returning == 0.5
    assert dict(zip(GROUPS, found.at_test, strict=True)) == {
        (0, 0): 0.5, (1, 1): 0.25, (2, 4): 0.0, (5, 19): 0.25, (20, 99): 0.0, (100, None): 0.0,
    }  # fmt: skip


def test_lengths_and_lives() -> None:
    found = histories(observed(LOG[0], LOG[1], LOG[2], clock=False, split=SPLIT))
    assert found.lengths[-1] == 7
    assert found.lengths[2] == 2
    assert found.life == 1.0  # q0 from 0 to 8, q1 from 6 to 7, q2 from 9 to 10; q3 has one event


def test_what_cannot_be_cut_still_has_lengths() -> None:
    found = histories(observed([0, 0], [0, 1], [5, 5], clock=False))
    assert (found.windows, found.at_test, found.test) == ((), (), None)
    assert found.lengths == (2,) * 7

from __future__ import annotations

import numpy as np
import pytest

from pipelines.evaluation.results import Results
from pipelines.report.experiment import Experiment, detectable_effect, experiment, needed_per_arm, weekly_traffic
from pipelines.report.online import earns_test
from pipelines.tables import Interactions

DAY = 86_400


def _log(queries: list[int], days: list[float]) -> Interactions:
    time = (np.array(days) * DAY).astype(np.int64)
    return Interactions(np.array(queries), np.zeros(len(days), np.int32), time, np.ones(len(days)))


def _result(hits: list[float]) -> Results:
    return Results(np.zeros((len(hits), 1), np.int32), {"hit_rate@1": np.array(hits)})


def test_detectable_effect_against_a_number_worked_by_hand() -> None:
    # 1.95996 + 0.84162 = 2.80159; sqrt(2 x 0.3 x 0.7 / 1000) = sqrt(0.00042) = 0.0204939; product 0.0574155
    assert detectable_effect(0.3, 1000) == pytest.approx(0.0574155, abs=1e-6)


def test_needed_queries_undo_the_detectable_effect() -> None:
    assert needed_per_arm(0.3, detectable_effect(0.3, 1000) * (1 + 1e-9)) == 1000


def test_traffic_counts_each_query_once_in_full_weeks_before_the_end() -> None:
    log = _log([0, 1, 2, 2, 1, 2], [0, 8, 9, 14, 15, 15.9])
    # The last week starts just after day 8.9: queries 2 and 1; two weeks back, day 1.9: also 1 and 2.
    assert weekly_traffic(log) == {1: 2, 2: 2}


def test_shorter_log_says_what_is_missing() -> None:
    found = experiment(_result([1, 0]), "popularity", _result([0, 0]), 1, _log([0, 1], [0, 8]))
    assert [d.weeks for d in found.detectable] == [1]
    assert found.problem == "the log is shorter than 2 full weeks"


def test_order_without_a_clock_cannot_be_sized() -> None:
    found = experiment(_result([1, 0]), "popularity", _result([0, 0]), 1, None)
    assert found.detectable == ()
    assert "no clock" in found.problem
    assert found.needed == needed_per_arm(0.5, 0.5)


def _sized(second_week: int) -> Experiment:
    """100 queries in the last week, `second_week` others in the week before; hit rates 0.50 against 0.45."""
    log = _log(list(range(1 + second_week + 100)), [0.0] + [20.0] * second_week + [29.0] * 100)
    ours, theirs = [1.0, 0.0] * 500, [1.0, 0.0] * 450 + [0.0] * 100
    return experiment(_result(ours), "popularity", _result(theirs), 1, log)


def test_weeks_are_the_fewest_that_suffice() -> None:
    found = _sized(3900)
    assert [d.queries for d in found.detectable] == [100, 4000, 4000]
    # 2.80159 x sqrt(0.5 / 50) = 0.280; 2.80159 x sqrt(0.5 / 2000) = 0.0443
    assert [d.absolute for d in found.detectable] == [pytest.approx(a, abs=1e-4) for a in (0.2802, 0.0443, 0.0443)]
    assert found.weeks == 2
    assert found.needed == 1570  # 0.5 x (2.80159 / 0.05)^2 = 1569.8
    assert earns_test(True, False, found) == (
        True,
        "This earns an A/B test: the measured difference could be detected in 2 weeks.",
    )


def test_too_little_traffic_earns_no_test() -> None:
    found = _sized(900)
    assert found.weeks is None
    earns, reason = earns_test(True, False, found)
    assert earns is False
    assert "1,570 queries in each arm would detect it" in reason


def test_a_rate_cannot_rise_beyond_one() -> None:
    few = experiment(_result([1, 1, 1, 0]), "popularity", _result([0] * 4), 1, _log([0, 1], [0, 8]))
    assert [d.possible for d in few.detectable] == [False]

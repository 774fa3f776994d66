from __future__ import annotations

import numpy as np
import pytest

from pipelines.dataset import load_dataset
from pipelines.evaluation.results import Results
from pipelines.report.experiment import Detectable, detectable_effect, experiment, outcomes, weekly_traffic
from pipelines.tables import Interactions
from tests.pipelines.report.runs import ITEMS, LIST_K

DAY = 86_400


def _log(queries: list[int], days: list[float]) -> Interactions:
    time = (np.array(days) * DAY).astype(np.int64)
    return Interactions(np.array(queries), np.zeros(len(days), np.int32), time, np.ones(len(days)))


def test_detectable_effect_against_a_number_worked_by_hand() -> None:
    # 1.95996 + 0.84162 = 2.80159; sqrt(2 x 0.3 x 0.7 / 1000) = sqrt(0.00042) = 0.0204939; product 0.0574155
    assert detectable_effect(0.3 * 0.7, 1000) == pytest.approx(0.0574155, abs=1e-6)


def test_traffic_counts_each_query_once_in_full_weeks_before_the_end() -> None:
    log = _log([0, 1, 2, 2, 1, 2], [0, 8, 9, 14, 15, 15.9])
    # The last week starts just after day 8.9: queries 2 and 1; two weeks back, day 1.9: also 1 and 2.
    assert weekly_traffic(log) == {1: 2, 2: 2}


@pytest.fixture(scope="module")
def dataset(won):
    config, results = won
    return load_dataset(config, results["prepare"])


def _lists(dataset, items: list[int]) -> np.ndarray:
    return np.tile(np.array(items, np.int32), (len(dataset.test_requests), 1))


def test_an_outcome_is_whether_a_query_takes_a_listed_item_in_time(won) -> None:
    config, results = won
    split = {"validation": "2023-11-20", "ranker": "2023-11-24", "test": "2023-11-28"}  # three weeks to the end
    split = config.split.model_copy(update=split)
    dataset = load_dataset(config.model_copy(update={"split": split}), results["prepare"])
    targets = dataset.test_requests.targets
    first, last = (np.stack([targets[row][[place]] for row in range(len(targets))]) for place in (0, -1))
    # Every query takes an item each fifth day: the first within a week, the last after more than one.
    assert outcomes(dataset, first, 1).tolist() == [1.0] * len(targets)
    assert outcomes(dataset, last, 1).sum() == 0
    assert outcomes(dataset, last, 4).tolist() == [1.0] * len(targets)


def _results(dataset, items: np.ndarray, rate: float) -> Results:
    values = np.full(len(items), rate)
    return Results(items, {f"hit_rate@{LIST_K}": values})


def test_effects_depend_on_variance_and_traffic_and_on_no_offline_lift(dataset) -> None:
    items = _lists(dataset, [0, 1])
    weak, strong = (
        experiment(dataset, _results(dataset, items, 0.5), "r", _results(dataset, items, r)) for r in (0.1, 0.9)
    )
    assert weak.difference.mean > 0 > strong.difference.mean
    assert weak.detectable == strong.detectable != ()
    for one in weak.detectable:
        values = outcomes(dataset, items, one.weeks)
        assert one.rate == pytest.approx(values.mean())
        assert one.queries == weekly_traffic(dataset.log)[one.weeks]
        assert one.absolute == pytest.approx(2.80159 * np.sqrt(2 * values.var() / (one.queries / 2)), rel=1e-5)
        assert one.relative == pytest.approx(one.absolute / one.rate)


def test_queries_that_all_fare_alike_say_nothing_of_variance(dataset) -> None:
    never = _lists(dataset, [ITEMS + 5, ITEMS + 6])
    found = experiment(dataset, _results(dataset, never, 0.0), "r", _results(dataset, never, 0.0))
    assert found.detectable == ()
    assert "vary" in found.problem
    assert not found.hopeless


def test_a_rate_cannot_rise_beyond_one() -> None:
    assert not Detectable(1, 10, 0.75, 0.3, 0.4).possible
    assert Detectable(1, 10, 0.5, 0.3, 0.6).possible

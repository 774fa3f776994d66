from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipelines.dataset import load_dataset
from pipelines.evaluation.results import Results
from pipelines.report.experiment import Detectable, experiment, outcomes, weekly_traffic
from pipelines.tables import Interactions
from tests.pipelines.report.runs import ITEMS, LIST_K

DAY = 86_400


def _log(queries: list[int], days: list[float]) -> Interactions:
    time = (np.array(days) * DAY).astype(np.int64)
    return Interactions(np.array(queries), np.zeros(len(days), np.int32), time, np.ones(len(days)))


def test_traffic_counts_each_query_with_a_past_once_in_full_weeks_before_the_end() -> None:
    log = _log([0, 1, 2, 2, 1, 2], [0, 8, 9, 14, 15, 15.9])
    # The last week starts just after day 8.9: query 1 was there before, query 2 was not. Two weeks back, at day 1.9,
    # neither was, but both come back after their first event.
    assert weekly_traffic(log, 3, rolling=False) == {1: 1}
    assert weekly_traffic(log, 3, rolling=True) == {1: 2, 2: 2}


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


def test_outcomes_and_traffic_are_of_those_with_a_past_and_no_target_counts_as_zero(dataset) -> None:
    """u0 comes back for nothing but i11, which is not out at the cut; a newcomer is in neither."""
    cut, log = dataset.cuts.test.moment, dataset.log
    past, later = set(log.before(cut).query.tolist()), set(log.query[log.time >= cut].tolist())
    returning = sorted(past & later)
    assert len(returning) == len(dataset.test_requests) + 1 < len(later)
    first = np.stack([dataset.test_requests.targets[row][:1] for row in range(len(dataset.test_requests))])
    u0 = dataset.tables.queries["query"].tolist().index("u0")
    assert outcomes(dataset, first, 1).tolist() == [float(query != u0) for query in returning]
    end = int(log.time[-1]) + 1
    before = set(log.before(end - 7 * DAY).query.tolist())
    known = weekly_traffic(log, dataset.n_queries, rolling=False)[1]
    assert known == len(before & set(log.query[log.time >= end - 7 * DAY].tolist())) < len(set(log.query.tolist()))


def test_tests_longer_than_what_can_be_observed_are_said_to_be(dataset) -> None:
    items = _lists(dataset, [0, 1])
    results = _results(dataset, items, 0.5)
    found = experiment(dataset, results, "r", results)
    one, two, four = found.detectable
    assert one.rate == two.rate == four.rate
    assert f"observed for {found.window:.1f} days only" in found.shortened
    assert "a test of 1, 2 or 4 weeks are" in found.shortened
    assert replace(found, window=14.0).shortened.startswith("What queries do can be observed for 14.0 days only")
    assert "a test of 4 weeks are" in replace(found, window=14.0).shortened
    assert replace(found, window=28.0).shortened == replace(found, window=None).shortened == ""
    config = dataset.config.model_copy(update={"split": dataset.config.split.model_copy(update={"horizon": "2d"})})
    short = replace(dataset, config=config)
    few = _results(short, _lists(short, [0, 1]), 0.5)
    assert experiment(short, few, "r", few).window == 2.0


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
        assert one.queries == weekly_traffic(dataset.log, dataset.n_queries, rolling=False)[one.weeks]
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

from __future__ import annotations

import pytest

from pipelines.dataset import load_dataset
from pipelines.prepare import prepare
from pipelines.report.data import data_part, judged
from tests.pipelines.report.runs import DAYS, ITEMS, QUERIES, make_config, write_tables


def test_rows_add_up_and_reasons_are_kept(won) -> None:
    config, results = won
    part = data_part(results["prepare"], load_dataset(config, results["prepare"]))
    events = next(account for account in part.accounts if account.table == "events")
    assert events.rows == DAYS * QUERIES // 5 + 3 + 2
    assert events.kept == events.rows - 2
    assert events.quarantined == {"item not in the catalogue": 1, "no query id": 1}
    assert (part.items, part.queries) == (ITEMS, QUERIES + 1)


def test_windows_hold_all_events_and_dates(won) -> None:
    config, results = won
    part = data_part(results["prepare"], load_dataset(config, results["prepare"]))
    assert [window.name for window in part.windows] == ["train", "validation", "ranker", "test"]
    assert sum(window.events for window in part.windows) == part.events
    assert part.windows[0].dates[0] == "2023-11-14 22:13"


def test_judged_agrees_with_the_requests(won) -> None:
    config, results = won
    dataset = load_dataset(config, results["prepare"])
    judged = data_part(results["prepare"], dataset).judged
    assert judged.requests == len(dataset.test_requests)
    assert judged.wanted - judged.unavailable == len(dataset.test_requests.targets.values)
    assert judged.unavailable == 2  # u0 and u1 take i11, which enters on the last day
    assert judged.new_queries == 1
    assert judged.returning == judged.requests + 1  # u0 takes nothing but i11


@pytest.mark.parametrize("seen_items", ["filter", "keep"])
@pytest.mark.parametrize(
    ("split", "unavailable"),
    [
        ({}, 2),
        ({"horizon": "2d"}, 0),  # i11 is taken later
        ({"targets": "next"}, 1),  # u1 takes another item first, and no more is asked for
        ({"targets": "last"}, 2),
        ({"history": "rolling"}, 2),
    ],
)
def test_judged_follows_the_rules_of_the_requests(tmp_path, seen_items, split, unavailable) -> None:
    write_tables(tmp_path)
    config = make_config(tmp_path, split=split)
    data = config.data.model_copy(update={"seen_items": seen_items})
    config = config.model_copy(update={"data": data})
    prepare(config, tmp_path / "prepare")
    dataset = load_dataset(config, tmp_path / "prepare")
    found = judged(dataset)
    assert found.wanted - found.unavailable == len(dataset.test_requests.targets.values)
    assert found.requests == len(dataset.test_requests) <= found.returning
    assert found.new_queries == len(dataset.newcomers)
    assert found.unavailable == unavailable


def test_order_has_no_dates(tmp_path) -> None:
    write_tables(tmp_path)
    config = make_config(tmp_path, clock=False)
    prepare(config, tmp_path / "prepare")
    part = data_part(tmp_path / "prepare", load_dataset(config, tmp_path / "prepare"))
    assert all(window.dates is None for window in part.windows)

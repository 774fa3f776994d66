from __future__ import annotations

from pipelines.dataset import load_dataset
from pipelines.prepare import prepare
from pipelines.report.data import data_part
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


def test_order_has_no_dates(tmp_path) -> None:
    write_tables(tmp_path)
    config = make_config(tmp_path, clock=False)
    prepare(config, tmp_path / "prepare")
    part = data_part(tmp_path / "prepare", load_dataset(config, tmp_path / "prepare"))
    assert all(window.dates is None for window in part.windows)

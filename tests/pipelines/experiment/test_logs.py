from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from configs.data import EventTable
from configs.errors import DataError
from pipelines.experiment.logs import Log, read, reading
from serving.logs import Exposure, ExposureLog
from tests.pipelines.experiment.logged import DAY, START, did, shown, write

LISTS = [
    shown("a", 0, "control", ["i1", "i2"]),
    shown("a", 5 * DAY, "control", ["i3"], source="fallback", seconds=0.03),
    shown("b", 100, "treatment", ["i1"]),
    shown("c", 200, "control"),
    shown("c", 300, "treatment"),  # its arm changed
    shown("d", 400),  # not in the experiment
    shown(None, 500, "control"),
    shown("e", 6 * DAY, "treatment", ["i9"], reason="arm"),
]
DONE = [
    did("a", -DAY, value=1.0),
    did("a", -20 * DAY, value=50.0),  # before the pre-period
    did("a", 0, "i2", 2.0),  # at the moment of the list counts as after it
    did("a", 3 * DAY, "i3", 4.0, "purchase"),  # not shown yet
    did("a", 6 * DAY, "i3", 8.0, "purchase"),  # shown by now
    did("a", 6 * DAY, "i3", 16.0, "purchase"),
    did("b", 99, "i1"),
    did("d", 500, "i1"),
    did("nobody", 500, "i1"),
]


def _log(folder: Path, **settings) -> Log:
    return read(reading(write(folder, LISTS, DONE), **settings), "x")


def test_units_count_from_their_first_list_on(tmp_path):
    found = _log(tmp_path)
    units = found.units
    assert units.arm.tolist() == ["control", "treatment", "treatment"]
    assert units.first.tolist() == [START, START + 100, START + 6 * DAY]
    assert units.lists.tolist() == [2, 1, 1]
    assert units.seconds == pytest.approx([0.04, 0.01, 0.01])
    assert units.fallback.tolist() == [1, 0, 0]
    assert units.not_served.tolist() == [0, 0, 1]
    assert (units.several, units.nameless, found.open) == (1, 1, 0)
    assert (found.days, found.span) == (6, 6)


def test_what_they_did_then_and_before(tmp_path):
    did_ = _log(tmp_path).outcomes[None]
    assert did_.events.tolist() == [4, 0, 0]
    assert did_.value.tolist() == [30, 0, 0]
    assert did_.taken.tolist() == [3, 0, 0]
    assert did_.before.tolist() == [1, 1, 0]
    assert did_.value_before.tolist() == [1, 0, 0]


def test_one_kind_of_event(tmp_path):
    found = _log(tmp_path, kinds=("purchase", None)).outcomes
    assert found["purchase"].events.tolist() == [3, 0, 0]
    assert found["purchase"].taken.tolist() == [2, 0, 0]
    assert found["purchase"].before.tolist() == [0, 0, 0]
    assert found[None].events.tolist() == [4, 0, 0]


def test_a_window_counts_what_it_holds_and_leaves_out_who_has_not_had_it(tmp_path):
    found = _log(tmp_path, window=4 * DAY)
    assert found.units.arm.tolist() == ["control", "treatment"]
    assert found.open == 1
    assert found.outcomes[None].events.tolist() == [2, 0]


def test_a_longer_pre_period(tmp_path):
    assert _log(tmp_path, before=30 * DAY).outcomes[None].value_before.tolist() == [51, 0, 0]


def test_everyone_together(tmp_path):
    found = read(reading(write(tmp_path, LISTS, DONE), last=2 * DAY), None, everyone=True)
    assert found.units.first.tolist() == [START + 5 * DAY, START + 6 * DAY]
    assert found.outcomes[None].events.tolist() == [2, 0]
    assert found.outcomes[None].before.tolist() == [3, 0]


def test_the_only_experiment_need_not_be_named(tmp_path):
    asked = reading(write(tmp_path, LISTS))
    assert read(asked, None).experiment == "x"
    with pytest.raises(DataError, match="--experiment: found 'y'; expected one that the log names: x"):
        read(asked, "y")
    both = [*LISTS, shown("f", 1, arms=[("x", "control"), ("y", "control")])]
    with pytest.raises(DataError, match="found None; expected one that the log names: x, y"):
        read(reading(write(tmp_path / "both", both)), None)


def test_without_events_lists_alone_tell(tmp_path):
    assert read(reading(write(tmp_path, LISTS)), "x").outcomes == {}


def test_events_of_a_run_under_its_own_names(tmp_path):
    write(tmp_path, LISTS)
    frame = pd.DataFrame({"user": ["a"], "sku": ["i2"], "at": [(START + 60) * 1000], "type": ["buy"], "price": ["3.5"]})
    frame.to_csv(tmp_path / "events.csv", index=False)
    columns = EventTable(
        query="user", item="sku", time="at", time_unit="ms", kind="type", weights={"buy": 1}, value="price", meaning="m"
    )
    asked = reading(tmp_path, [tmp_path / "*.csv"], columns=columns, kinds=("buy",))
    assert read(asked, "x").outcomes["buy"].value.tolist() == [3.5, 0, 0]
    # and a server's log of the same names, whose times are timestamps, beside it
    frame.assign(at=pd.to_datetime(frame["at"], unit="ms", utc=True), price=4.0).to_parquet(tmp_path / "events.parquet")
    both = reading(tmp_path, [tmp_path / "*.csv", tmp_path / "events.parquet"], columns=columns, kinds=("buy",))
    assert read(both, "x").outcomes["buy"].value.tolist() == [7.5, 0, 0]
    wrong = reading(tmp_path, [tmp_path / "*.csv"], columns=columns.model_copy(update={"value": "cost"}))
    with pytest.raises(DataError, match=r"no column 'cost', which data\.events\.value names"):
        read(wrong, "x")
    order = columns.model_copy(update={"time": None, "order": "at"})
    with pytest.raises(DataError, match="an order and no clock"):
        read(reading(tmp_path, [tmp_path / "*.csv"], columns=order), "x")


@pytest.mark.parametrize("missing", ["arms", "query"])
def test_a_missing_column_is_named(tmp_path, missing):
    pd.DataFrame({name: ["1"] for name in ("query", "time", "source", "arms", "items", "seconds")}).drop(
        columns=missing
    ).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(DataError, match=f"exposures: .* has no column '{missing}'; expected query, time"):
        read(reading(tmp_path), "x")


def test_logs_that_are_not_there_or_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="exposures: no table at"):
        read(reading(tmp_path / "nowhere"), "x")
    with pytest.raises(DataError, match="holds no Parquet file; expected a server's log"):
        read(reading(tmp_path), "x")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and nothing more")
    with pytest.raises(DataError, match="logs: they cannot be read"):
        read(reading(tmp_path), "x")


def test_nobody_was_exposed(tmp_path):
    with pytest.raises(DataError, match="no unit is left to compare; found 0 that were exposed"):
        read(reading(write(tmp_path, [shown(None, 1, "control")])), "x")


def test_what_a_server_writes_is_read(tmp_path):
    log = ExposureLog(tmp_path / "exposures")
    for user, arm in (("a", "control"), ("b", "treatment")):
        log.append(Exposure(f"r{user}", user, START, "m", 1, "fallback", ["i1"], [0.5], 0.25, "worker", {"x": arm}))
    log.close()
    found = read(reading(tmp_path), None)
    assert found.units.arm.tolist() == ["control", "treatment"]
    assert found.units.first.tolist() == [START, START]
    assert found.units.fallback.tolist() == [1, 1]
    assert found.units.seconds.tolist() == [0.25, 0.25]

"""Events that a server logged stand beside those of any source, each read in its own types."""

from __future__ import annotations

from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.errors import DataError
from configs.load import builtin, load, parse
from configs.schema import Config
from pipelines.prepare import prepare
from pipelines.sources import fingerprint
from serving.logs import EventLog
from serving.store import Event

START = 1_700_000_000
DEVICE = {"name": "device", "table": "events", "kind": "category"}
LOAD = {"name": "load", "table": "events", "kind": "number", "missing": 0.5}


def config(folder: Path, features: list[dict[str, Any]] = (), **events: Any) -> Config:  # type: ignore[assignment]
    section = {"path": "events.parquet", "query": "q", "item": "i", "time": "t", "meaning": "took it", **events}
    section = {key: value for key, value in section.items() if value is not None}
    data = {"source": "tables", "path": str(folder), "events": section, "items": {"id": "i"}}
    item = {"name": "item_id", "column": "i", "table": "items", "kind": "id"}
    return parse({"name": "t", "data": data, "features": [item, *features]})


def log(of: Config, *events: Event) -> None:
    """Log events where the config reads them."""
    opened = EventLog(of, Path(of.data.path or ".") / str(of.data.events.logged))
    opened.append(events)
    opened.close()


def prepared(folder: Path, of: Config) -> pd.DataFrame:
    prepare(of, folder / "out")
    return pd.read_parquet(folder / "out" / "events.parquet")


def told(frame: pd.DataFrame, *columns: str) -> list[tuple[Any, ...]]:
    return list(frame[["query", "item", "time", *columns]].itertuples(index=False, name=None))


def at(*seconds: int) -> list[datetime]:
    return [datetime.fromtimestamp(START + second, timezone.utc) for second in seconds]


@pytest.mark.parametrize(
    ("times", "unit"),
    [
        ([START, START + 20], "s"),
        ([START * 1000 + 250, (START + 20) * 1000], "ms"),
        ([str(START * 10**6), str((START + 20) * 10**6)], "us"),
        ([START * 10**9, (START + 20) * 10**9], "ns"),
        ([f"{moment:%Y-%m-%dT%H:%M:%S}Z" for moment in at(0, 20)], "s"),
        (at(0, 20), "s"),
        ([moment.replace(tzinfo=None) for moment in at(0, 20)], "ms"),
    ],
)
def test_times_are_on_one_axis_whatever_the_source_says(tmp_path, times, unit):
    pq.write_table(pa.table({"q": ["a", "a"], "i": ["x", "y"], "t": times}), tmp_path / "events.parquet")
    of = config(tmp_path, time_unit=unit, logged="log")
    log(of, Event("new", "x", START + 10), Event("a", "y", START + 30))
    expected = [("a", "x", START), ("new", "x", START + 10), ("a", "y", START + 20), ("a", "y", START + 30)]
    assert told(prepared(tmp_path, of)) == expected


def test_dates_of_the_source_do_not_take_the_hours_of_the_log(tmp_path):
    pq.write_table(pa.table({"q": ["a"], "i": ["x"], "t": [date(2023, 11, 14)]}), tmp_path / "events.parquet")
    of = config(tmp_path, logged="log")
    log(of, Event("a", "x", START))
    assert told(prepared(tmp_path, of)) == [("a", "x", START - START % 86_400), ("a", "x", START)]


def test_numbers_of_an_order_stay_exact(tmp_path):
    (tmp_path / "events.csv").write_text("q,i,step\na,x,9007199254740993\n")
    of = config(tmp_path, path="events.csv", time=None, order="step", logged="log")
    log(of, Event("a", "y", 2**53 + 3))
    assert told(prepared(tmp_path, of)) == [("a", "x", 2**53 + 1), ("a", "y", 2**53 + 3)]


def test_csv_and_a_log_agree_on_everything_else(tmp_path):
    text = "q,i,t,what,worth,device,load\n007,x,1700000000,buy,2.5,tv,\n007,y,1700000001,view,,,3\n"
    (tmp_path / "events.csv").write_text(text)
    asked = {"path": "events.csv", "kind": "what", "weights": {"view": 1, "buy": 4}, "value": "worth"}
    of = config(tmp_path, [DEVICE, LOAD], logged="log", **asked)
    log(
        of,
        Event("007", "x", START + 2, "view", 7.5, context={"device": "phone"}),
        Event("007", "x", START + 3, "buy", context={"load": 1}),
    )
    assert told(prepared(tmp_path, of), "kind", "weight", "value", "device", "load") == [
        ("007", "x", START, "buy", 4.0, 2.5, "tv", 0.5),
        ("007", "y", START + 1, "view", 1.0, 1.0, "", 3.0),
        ("007", "x", START + 2, "view", 1.0, 7.5, "phone", 0.5),
        ("007", "x", START + 3, "buy", 4.0, 1.0, "", 1.0),
    ]


def test_rows_are_accounted_for_table_by_table(tmp_path):
    pq.write_table(pa.table({"q": ["a", "a"], "i": ["x", "x"], "t": [START, START]}), tmp_path / "events.parquet")
    of = config(tmp_path, logged="log")
    said = [Event("a", "x", START), Event("b", "x", START), Event("b", "x", START), Event("c", "x", START + 10**9)]
    log(of, *said)
    summary = prepare(of, tmp_path / "out", now=START + 5)
    accounts = {name: (one.rows, one.kept, one.quarantined) for name, one in summary.tables.items()}
    assert accounts == {
        "events": (2, 1, {"duplicate": 1}),
        "logged": (4, 1, {"duplicate": 2, "time in the future": 1}),
    }
    quarantine = pd.read_parquet(tmp_path / "out" / "quarantine.parquet")
    rows = list(quarantine[["table", "row", "reason"]].itertuples(index=False, name=None))
    assert rows == [
        ("events", 1, "duplicate"),
        ("logged", 0, "duplicate"),
        ("logged", 2, "duplicate"),
        ("logged", 3, "time in the future"),
    ]
    assert '"q":"c"' in quarantine["record"].iloc[3]


def test_a_feature_that_was_not_logged_yet_is_missing(tmp_path):
    pq.write_table(
        pa.table({"q": ["a"], "i": ["x"], "t": [START], "device": ["tv"], "load": [2.0]}), tmp_path / "events.parquet"
    )
    log(config(tmp_path, logged="log"), Event("a", "y", START + 1))
    of = config(tmp_path, [DEVICE, LOAD], logged="log")
    assert told(prepared(tmp_path, of), "device", "load") == [
        ("a", "x", START, "tv", 2.0),
        ("a", "y", START + 1, "", 0.5),
    ]


def test_a_column_that_the_log_calls_otherwise_is_named(tmp_path):
    pq.write_table(pa.table({"q": ["a"], "what": ["x"], "t": [START]}), tmp_path / "events.parquet")
    log(config(tmp_path, logged="log"), Event("a", "y", START + 1))
    with pytest.raises(DataError, match=r"data\.events\.item: .*log has no column 'what'; found "):
        prepare(config(tmp_path, item="what", logged="log"), tmp_path / "out")


def test_the_simulated_world_goes_on_where_a_server_logged(tmp_path):
    of = load(builtin("demo"), ["data.simulated_events=3000", f"data.events.logged={tmp_path / 'log'}"])
    (tmp_path / "log").mkdir()
    before = prepare(of, tmp_path / "before")
    items = pd.read_parquet(tmp_path / "before" / "items.parquet")["item"]
    events = [
        Event("newcomer", item, before.last_time + n, "click", context={"device": "tv"})
        for n, item in enumerate(items[:3])
    ]
    log(of, *events, Event("newcomer", "no such item", before.last_time, "click"))
    after = prepare(of, tmp_path / "after")
    assert (after.events, after.queries) == (before.events + 3, before.queries + 1)
    assert after.tables["logged"].quarantined == {"item not in the catalogue": 1}
    last = pd.read_parquet(tmp_path / "after" / "events.parquet").tail(3)
    assert told(last, "kind", "device") == [("newcomer", event.item, event.time, "click", "tv") for event in events]


def test_nothing_logged_yet_is_fine_and_a_folder_that_is_not_there_is_not(tmp_path):
    pq.write_table(pa.table({"q": ["a"], "i": ["x"], "t": [START]}), tmp_path / "events.parquet")
    of = config(tmp_path, logged="log")
    for ask in (lambda: prepare(of, tmp_path / "out"), lambda: fingerprint(of)):
        with pytest.raises(DataError, match=r"data\.events\.logged: no folder at .*log; .* found in .*events\.parquet"):
            ask()
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / ".half.parquet.partial").write_text("half a file")
    assert prepare(of, tmp_path / "out").events == 1


def test_what_is_logged_changes_the_fingerprint(tmp_path):
    pq.write_table(pa.table({"q": ["a"], "i": ["x"], "t": [START]}), tmp_path / "events.parquet")
    of = config(tmp_path, logged="log")
    (tmp_path / "log").mkdir()
    empty = fingerprint(of)
    assert empty == fingerprint(config(tmp_path))
    log(of, Event("a", "y", START))
    assert fingerprint(of) != empty

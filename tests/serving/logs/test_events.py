"""What the log of events says, in the columns that the config names."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.load import parse
from configs.schema import Config
from serving.logs import EarlyLog, EventLog, Exposure, ExposureLog, hand_over_early
from serving.store import Event
from tests.serving.small import CONFIG

ROOT = Path(__file__).resolve().parents[3]
NOW = 1_700_000_000
MOMENT = datetime.fromtimestamp(NOW, timezone.utc)
CONTEXT = {"device": "phone", "battery": 0.25, "mood": [1, 2.5], "departure": NOW + 60}


def config(features: list[dict[str, Any]] = (), **events: Any) -> Config:  # type: ignore[assignment]
    """The small recommender's, whose events have a category, numbers, a vector and a time of their own."""
    data = {**CONFIG["data"], "events": {**CONFIG["data"]["events"], **events}}
    return parse({**CONFIG, "data": data, "features": [*CONFIG["features"], *features]})


def logged(folder: Path, of: Config, *events: Event) -> pa.Table:
    log = EventLog(of, folder)
    assert log.append(events) == len(events)
    log.close()
    (file,) = folder.iterdir()
    return pq.read_table(file)


def test_columns_are_called_as_the_config_calls_them(tmp_path):
    of = config(kind="what", weights={"view": 1}, value="worth", rating="stars")
    event = Event("u", "i1", NOW, "view", 2.5, 4, CONTEXT)
    assert logged(tmp_path, of, event).to_pylist() == [
        {
            "user": "u",
            "item": "i1",
            "time": MOMENT,
            "what": "view",
            "worth": 2.5,
            "stars": 4.0,
            "device": "phone",
            "battery": 0.25,
            "mood": [1.0, 2.5],
            "departs_at": datetime.fromtimestamp(NOW + 60, timezone.utc),
        }
    ]


def test_of_events_that_nobody_held_against_the_config_what_fits_is_logged(tmp_path):
    of = config([{"name": "load", "table": "events", "kind": "number"}])  # which every event must say
    log = EventLog(of, tmp_path)
    odd = {"device": "phone", "battery": "full", "mood": [1], "colour": "red", "load": 2}
    events = [
        Event("u", "i1", NOW, "view", context=odd),
        Event("u", "i2", NOW, context={"load": "much"}),
        Event("u", "i3", 10**14, context={"load": 1}),
    ]
    assert log.append_fitting(events) == 1
    log.close()
    (row,) = pq.read_table(tmp_path).to_pylist()
    assert row == {
        "user": "u",
        "item": "i1",
        "time": MOMENT,
        "device": "phone",
        "battery": None,
        "mood": None,
        "departs_at": None,
        "load": 2.0,
    }


def test_early_events_come_back_once_as_they_were(tmp_path):
    events = [Event("u", "日本", -3, "view", 0.5, None, CONTEXT), Event("v", "i1", 2**62, context={"a": [None, "x"]})]
    for event in events:
        log = EarlyLog(tmp_path)
        assert log.append([event]) == 1
        log.close()
    damaged = tmp_path / "0.parquet"
    damaged.write_bytes(b"no file")
    found: list[Event] = []
    hand_over_early(tmp_path, lambda part: (found.extend(part), True)[1])
    assert sorted(found, key=lambda event: event.query) == events
    hand_over_early(tmp_path, pytest.fail)
    assert [*tmp_path.iterdir()] == [damaged]


def test_early_events_go_from_their_file_once_they_are_kept(tmp_path):
    log = EarlyLog(tmp_path)
    log.append([Event("u", "i1", NOW)])
    log.close()
    (file,) = tmp_path.iterdir()
    hand_over_early(tmp_path, lambda _: False)
    assert file.exists()
    code = "import os, sys; from pathlib import Path; from serving.logs import hand_over_early\n"
    code += "hand_over_early(Path(sys.argv[1]), lambda events: os._exit(len(events)))"  # as if it was killed
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, cwd=ROOT).returncode == 1

    def keep(events: list[Event]) -> bool:
        assert file.exists()
        hand_over_early(tmp_path, pytest.fail)  # another server, meanwhile
        return len(events) == 1

    hand_over_early(tmp_path, keep)
    assert [*tmp_path.iterdir()] == []


def test_what_is_not_said_is_empty(tmp_path):
    (row,) = logged(tmp_path, config(value="worth"), Event("u", "i1", NOW)).to_pylist()
    empty = ("worth", "device", "battery", "mood", "departs_at")
    assert row == {"user": "u", "item": "i1", "time": MOMENT, **dict.fromkeys(empty)}


def test_an_order_is_a_number(tmp_path):
    clockless = {**CONFIG, "features": [f for f in CONFIG["features"] if f["kind"] != "time"]}
    section = {k: v for k, v in CONFIG["data"]["events"].items() if k != "time"} | {"order": "step"}
    windows = {
        "baselines": {"windows": [10]},
        "trend": {"windows": [10], "bucket": 5},
    }
    of = parse({**clockless, **windows, "data": {**CONFIG["data"], "events": section}})
    assert logged(tmp_path, of, Event("u", "i1", 2**62))["step"].to_pylist() == [2**62]


def test_a_feature_may_read_a_column_of_the_event_itself(tmp_path):
    kind = {"name": "sort", "table": "events", "kind": "category", "column": "what"}
    of = config([kind], kind="what", weights={"view": 1})
    assert logged(tmp_path, of, Event("u", "i1", NOW, "view"))["what"].to_pylist() == ["view"]


def test_several_values_are_joined(tmp_path):
    tags = {"name": "page", "table": "events", "kind": "multi_category", "separator": ";"}
    events = [Event("u", "i", NOW, context={"page": value}) for value in (["a", "b"], "a;b", [], 7)]
    assert logged(tmp_path, config([tags]), *events)["page"].to_pylist() == ["a;b", "a;b", "", "7"]


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ({"battery": "empty"}, "battery: found 'empty', expected a finite number"),
        ({"battery": float("nan")}, "battery: found nan"),
        ({"battery": 1e39}, "battery"),
        ({"mood": [1]}, r"mood: found \[1\], expected as many finite numbers as it is wide"),
        ({"mood": 3}, "mood"),
        ({"departure": 10**13}, "departure"),
        ({"device": "\ud800"}, "device"),
    ],
)
def test_values_that_training_would_stumble_over_are_refused_with_their_name(tmp_path, context, message):
    log = EventLog(config(), tmp_path)
    with pytest.raises(ValueError, match=message):
        log.append([Event("u", "a", NOW), Event("u", "b", NOW, context=context)])
    assert log.counts.waiting == 0  # all or none
    log.close()


def test_a_number_that_has_to_be_there_has_to_be_there(tmp_path):
    load = {"name": "load", "table": "events", "kind": "number", "log": True}
    log = EventLog(config([load]), tmp_path)
    for context in ({}, {"load": None}, {"load": -1}):
        with pytest.raises(ValueError, match=r"load: found (None|-1), expected a finite number, above -1"):
            log.append([Event("u", "a", NOW, context=context)])
    assert log.append([Event("u", "a", NOW, context={"load": 0})]) == 1
    log.close()


@pytest.mark.parametrize("time", [-(2**62), 10**12, 2**62])
def test_a_time_that_no_clock_shows_is_refused(tmp_path, time):
    log = EventLog(config(), tmp_path)
    with pytest.raises(ValueError, match="time: found"):
        log.append([Event("u", "a", time)])
    log.close()


def test_exposures_say_what_was_shown(tmp_path):
    log = ExposureLog(tmp_path)
    arms = {"depth": "b", "colour": "a"}
    shown = Exposure("r1", "u", NOW, "demo", 3, "model", ["i1", "i2"], [0.5, 0.25], 0.004, "", arms, [1.0, 0.5])
    assert log.append(shown) == 1
    log.append(Exposure("r2", None, NOW, "demo", 3, "fallback", [], [], 0.05, "deadline"))
    log.close()
    (file,) = tmp_path.iterdir()
    table = pq.read_table(file)
    first, second = table.drop(["logged_at"]).to_pylist()
    assert first == {
        "request": "r1",
        "query": "u",
        "time": NOW,
        "model": "demo",
        "version": 3,
        "source": "model",
        "reason": "",
        "arms": list(arms.items()),
        "items": ["i1", "i2"],
        "scores": [0.5, 0.25],
        "propensities": [1.0, 0.5],
        "seconds": 0.004,
    }
    assert (second["query"], second["arms"], second["items"], second["propensities"]) == (None, [], [], None)
    assert table["logged_at"].type == pa.int64()
    assert 1.7e15 < table["logged_at"][0].as_py() <= table["logged_at"][1].as_py()

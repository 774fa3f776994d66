"""Events that come before any version is loaded: kept, and counted once there is one."""

from __future__ import annotations

import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from serving.rollout import Rollout, write_rollout
from tests.serving.server.running import serving
from tests.serving.server.test_server import publish
from tests.serving.small import END

FIRST = {"user": "u1", "item": "i44", "time": END + 5, "context": {"device": "tv", "battery": "full", "colour": "red"}}
SECOND = {"user": "u95", "item": "i45", "time": END + 7, "kind": "click", "context": {"battery": 0.25}}


def rows(folder: Path) -> list[dict[str, object]]:
    return pq.ParquetDataset(folder).read().to_pylist() if [*folder.glob("*.parquet")] else []


def test_events_that_come_before_a_version_count_once_it_is_there(exact_bundle, tmp_path):
    model, logs = tmp_path / "small", tmp_path / "state" / "logs"
    taken = {"accepted": 1, "stored": True}
    with serving(model, tmp_path / "state", ready=False) as running:
        assert running.ask("/events", events=[FIRST]) == taken
    assert len(rows(logs / "early")) == 1  # a server that ends writes what waits
    with serving(model, tmp_path / "state", ready=False) as running:
        assert running.ask("/events", events=[SECOND]) == taken
        assert running.metric("twinspire_events") == 1
        publish(exact_bundle, model, 1)
        running.ready()
        history = running.client.get("/users/u1").json()["history"]
        assert [one["item"] for one in history] == ["i44", "it's", "i21", "i20"]
        (one,) = running.client.get("/users/u95").json()["history"]
        assert (one["item"], one["time"]) == ("i45", END + 7)
        assert "i45" not in running.ids(user="u95", k=135)
        running.until(lambda: len(rows(logs / "events")) == 2, "the log")
        assert running.ask("/events", events=[{**FIRST, "item": "i46", "context": {"device": "tv"}}]) == taken
        assert running.metric("twinspire_log_rows_dropped", log="events") == 0
    assert rows(logs / "early") == []
    found = sorted((row["user"], row["item"], row["device"], row["battery"]) for row in rows(logs / "events"))
    assert found == [("u1", "i44", "tv", None), ("u1", "i46", "tv", None), ("u95", "i45", None, 0.25)]


@pytest.mark.parametrize(
    ("event", "names"),
    [
        ({"user": "u93"}, "events.0.item"),
        ({"user": "u93", "item": "i20", "time": 2**63}, "events.0.time"),
        ({"user": "u93", "item": "i20", "value": "much"}, "events.0.value"),
        ({"user": "u93", "item": ""}, "events.0.item"),
        ({"user": "u93", "item": "i20", "colour": "red"}, "events.0.colour"),
    ],
)
def test_what_no_version_could_use_is_refused_without_one(event, names, tmp_path):
    with serving(tmp_path / "small", tmp_path / "state", ready=False) as running:
        answer = running.client.post("/events", json={"events": [{"user": "u93", "item": "i20"}, event][::-1]})
        assert (answer.status_code, names in answer.json()["error"]) == (422, True), answer.text


def test_a_time_that_is_the_datas_end_is_known_from_the_version_before(exact_bundle, tmp_path):
    model, event = tmp_path / "small", {"user": "u96", "item": "i45"}
    with serving(model, tmp_path / "state", 'clock="data"', ready=False) as running:
        refused = running.client.post("/events", json={"events": [event]})
        assert (refused.status_code, refused.json()["error"].partition(":")[0]) == (503, "time")
        assert running.ask("/events", events=[{**event, "time": END + 9}])["stored"] is True
        version = publish(exact_bundle, model, 1)
        running.ready()
    version.rename(tmp_path / "away")
    with serving(model, tmp_path / "state", 'clock="data"', ready=False) as running:
        assert running.ask("/events", events=[event])["stored"] is True
        running.ask(user="u96")  # which is logged on the same axis
        (tmp_path / "away").rename(version)
        running.ready()
        times = [one["time"] for one in running.client.get("/users/u96").json()["history"]]
        assert times == [END + 9, END]
    assert [row["time"] for row in rows(tmp_path / "state" / "logs" / "exposures")] == [END]


def test_now_is_a_time_once_a_version_has_said_that_times_are_seconds(exact_bundle, tmp_path):
    model, event = tmp_path / "small", {"user": "u96", "item": "i45"}
    with serving(
        model, tmp_path / "state", ready=False
    ) as running:  # the version to come may have an order and no clock
        refused = running.client.post("/events", json={"events": [event]})
        assert (refused.status_code, refused.json()["error"].partition(":")[0]) == (503, "time")
        publish(exact_bundle, model, 1)
        running.ready()
        before = int(time.time())
        assert running.ask("/events", events=[event])["stored"] is True
        (one,) = running.client.get("/users/u96").json()["history"]
        assert before <= one["time"] <= time.time()


def test_features_are_held_against_the_log_where_the_version_was_withdrawn(exact_bundle, tmp_path):
    model, event = tmp_path / "small", {"user": "u97", "item": "i45"}
    publish(exact_bundle, model, 1)
    with serving(model, tmp_path / "state") as running:
        write_rollout(model, Rollout(withdrawn=(1,)))
        running.until(lambda: running.status()["labels"] == {}, "the withdrawal")
        said = running.client.post("/events", json={"events": [{**event, "context": {"colour": "red"}}]})
        assert (said.status_code, "unknown feature 'colour'" in said.text) == (422, True)
        assert running.ask("/events", events=[{**event, "context": {"device": "tv"}}])["accepted"] == 1

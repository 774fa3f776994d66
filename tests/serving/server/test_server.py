"""The server as its clients see it: real processes, over HTTP."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest

from serving.assignment import place
from serving.bundle import load_bundle
from serving.popular import EVERYONE
from serving.rollout import Canary, Rollout, roll_back, write_rollout
from tests.serving import small
from tests.serving.server.running import COMMAND, Running, serving
from tests.serving.small import END, UNINDEXED

POPULAR = small.popular_lists().lists


def publish(bundle: Path, model: Path, number: int) -> Path:
    """A version that comes by rename, as publishers have it."""
    model.mkdir(exist_ok=True)
    partial = small.copy(bundle, model / f".partial-{number}")
    return partial.rename(model / str(number))


@pytest.fixture(scope="module")
def running(exact_bundle, tmp_path_factory) -> Iterator[Running]:
    """One server for the tests that leave it as it is, but for the users u90 to u99."""
    folder = tmp_path_factory.mktemp("running")
    publish(exact_bundle, folder / "small", 1)
    with serving(folder / "small", folder / "state") as found:
        yield found


@pytest.fixture(scope="module")
def bundle(exact_bundle):
    return load_bundle(exact_bundle)


# --- without TensorFlow ---------------------------------------------------------------------------------------


def test_the_server_imports_no_tensorflow():
    code = """
import sys
import serving.server.main, pipelines.cli, serving.tfserving.grpc, serving.store.redis, serving.client
found = sorted(name for name in sys.modules if name.split(".")[0] in ("tensorflow", "tf_keras", "keras", "scann"))
sys.exit(f"imported: {found[:3]}" if found else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# --- lists ----------------------------------------------------------------------------------------------------


def test_a_list_is_what_the_bundle_answers(running, bundle):
    expected = bundle.recommend("u1", 5, time=END + 50, exclude=["i40"], context={"device": "tv", "battery": 0.25})
    said = running.ask(
        user="u1", k=5, time=END + 50, exclude=["i40"], context={"device": "tv", "battery": 0.25}, explain=False
    )
    assert [(one["item"], one["title"]) for one in said["items"]] == [(one.item, one.title) for one in expected]
    assert [one["score"] for one in said["items"]] == pytest.approx([one.score for one in expected], abs=1e-5)
    assert (said["source"], said["model"], said["version"]) == ("model", "small", 1)
    assert re.fullmatch("[0-9a-f]{32}", said["request"])


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"user": "nobody"},
        {"history": ["i20", "i40"], "k": 3},
        {"history": ["i20", "i40"], "history_time": [END - 9, END - 4], "k": 3},
        {"likes": ["genre=drama", "i50"], "k": 4},
        {"filters": {"region": ["at"], "stock": ["yes"]}, "k": 20},
        {"user": "u2", "features": {"country": "at", "age": 33.0}},
        {"user": "u1", "k": 150},
    ],
)
def test_every_way_to_ask_is_answered_as_the_bundle_does(running, bundle, asked):
    given = {**asked, "time": END}
    context = given.pop("features", {})
    expected = [one.item for one in bundle.recommend(given.pop("user", None), **given, context=context)]
    assert running.ids(**asked, time=END) == expected


def test_a_request_without_a_time_is_asked_now(running, bundle):
    assert running.ask(user="u1")["source"] == "model"


def test_an_explanation_says_what_each_stage_gave(running):
    said = running.ask(user="u1", k=4, time=END, explain=True)["items"]
    assert all(isinstance(one["retrieval"], float) for one in said)
    assert {one["because"]["item"] for one in said} <= {"i20", "i21", "it's"}
    assert {one["because"]["title"] for one in said} <= {"Title of i20", "Title of i21", "Title of it's"}
    assert all("retrieval" not in one for one in running.ask(user="u1", k=4, time=END)["items"])


def test_relevance_turns_diversity(running):
    by_score = running.ask(user="u1", k=8, time=END, relevance=1)["items"]
    assert [one["score"] for one in by_score] == sorted((one["score"] for one in by_score), reverse=True)
    assert [one["item"] for one in by_score] != running.ids(user="u1", k=8, time=END, relevance=0.1)


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ("{", "body"),
        ("[]", "body"),
        ('{"k": 0}', "k:"),
        ('{"k": "5"}', "k:"),
        ('{"k": 5000}', "k: found 5000, expected at most 1000"),
        ('{"usr": "u1"}', "usr:"),
        ('{"user": ""}', "user:"),
        ('{"user": 5}', "user:"),
        ('{"history": "i20"}', "history:"),
        ('{"history": ["i20"], "history_time": [1, 2]}', "history_time: found 2 times for 1 items"),
        ('{"context": {"colour": "red"}}', "unknown feature 'colour'"),
        ('{"features": {"age": "old"}}', "age: found 'old'"),
        ('{"filters": {"size": ["xl"]}}', "unknown filter 'size'"),
        ('{"filters": {"region": ["mars"]}}', "filter region: found 'mars'"),
        ('{"likes": ["genre=opera"]}', "likes: found 'genre=opera'"),
        ('{"relevance": 2}', "relevance:"),
        ('{"time": 1e30}', "time:"),
        ('{"features": {"mood": [1]}}', "mood: found [1"),
        ('{"user": "\\ud800"}', ""),
    ],
)
def test_what_is_asked_wrongly_is_said_in_one_line(running, body, names):
    answer = running.client.post("/recommend", content=body)
    assert answer.status_code == 422, answer.text
    error = answer.json()["error"]
    assert names in error
    assert "\n" not in error


def test_neighbours_are_those_of_the_bundle(running, bundle):
    expected = bundle.similar("i20", 5, exclude=["i30"], filters={"stock": ["yes"]})
    said = running.ask("/similar", item="i20", k=5, exclude=["i30"], filters={"stock": ["yes"]})["items"]
    assert [one["item"] for one in said] == [one.item for one in expected]
    answer = running.client.post("/similar", json={"item": "nothing"})
    assert (answer.status_code, "item: found 'nothing'" in answer.json()["error"]) == (422, True)


# --- state ----------------------------------------------------------------------------------------------------


def test_an_event_changes_the_next_list(running):
    before = running.ask(user="u90", k=5)["items"]
    taken = before[0]["item"]
    assert running.ask("/events", events=[{"user": "u90", "item": taken, "kind": "click"}]) == {
        "accepted": 1,
        "stored": True,
    }
    after = running.ids(user="u90", k=5)
    assert taken not in after
    history = running.client.get("/users/u90").json()["history"]
    assert [one["item"] for one in history] == [taken]


def test_an_event_counts_once(running):
    event = {"user": "u91", "item": "i20", "time": END}
    running.ask("/events", events=[event, event])
    running.ask("/events", events=[event])
    assert len(running.client.get("/users/u91").json()["history"]) == 1


def test_a_history_goes_on_where_the_bundle_ends(running):
    running.ask("/events", events=[{"user": "u1", "item": "i44", "time": END + 5}])
    history = running.client.get("/users/u1").json()["history"]
    assert [one["item"] for one in history] == ["i44", "it's", "i21", "i20"]


def test_features_that_are_set_are_used(running, bundle):
    assert running.client.put("/users/u92", json={"features": {"country": "at", "age": 70}}).json() == {"stored": True}
    expected = bundle.recommend(None, 5, context={"country": "at", "age": 70}, time=END)
    assert running.ids(user="u92", k=5, time=END) == [one.item for one in expected]
    answer = running.client.put("/users/u92", json={"features": {"colour": "red"}})
    assert (answer.status_code, "colour" in answer.json()["error"]) == (422, True)


@pytest.mark.parametrize(
    ("event", "names"),
    [
        ({"user": "u93"}, "events.0.item"),
        ({"user": "u93", "item": "i20", "time": 2**63}, "events.0.time"),
        ({"user": "u93", "item": "i20", "value": "much"}, "events.0.value"),
        ({"user": "u93", "item": "i20", "context": {"battery": "full"}}, "battery: found 'full'"),
        ({"user": "u93", "item": "i20", "context": {"colour": "red"}}, "events.0.context: unknown feature 'colour'"),
    ],
)
def test_an_event_that_cannot_be_is_named_and_none_is_taken(running, event, names):
    good = {"user": "u93", "item": "i20"}
    answer = running.client.post("/events", json={"events": [event, good]})
    assert answer.status_code == 422, answer.text
    assert names in answer.json()["error"]
    assert running.client.get("/users/u93").json()["history"] == []


def test_users_and_items_are_found(running):
    running.ask("/events", events=[{"user": "u94", "item": "i20"}])
    assert running.client.get("/users", params={"prefix": "u"}).json()["users"][:2] == ["u1", "u2"]
    assert running.client.get("/users", params={"prefix": "u94"}).json()["users"] == ["u94"]
    found = running.client.get("/items", params={"text": "i20"}).json()["items"]
    assert found[0] == {"item": "i20", "title": "Title of i20"}
    assert [one["item"] for one in running.client.get("/items", params={"text": "title of I99"}).json()["items"]] == [
        "i99"
    ]
    assert running.client.get("/items", params={"text": "%"}).json()["items"] == [
        {"item": "50%; --", "title": "Title of 50%; --"}
    ]


def test_health_is_told(running):
    assert running.client.get("/healthz").json() == {"status": "ok"}
    assert running.client.get("/readyz").json() == {"ready": True, "version": 1}
    status = running.status()
    assert (status["labels"], status["store"]) == ({"stable": 1}, True)
    assert status["versions"] == [{"number": 1, "state": "AVAILABLE", "code": "OK", "message": ""}]
    assert set(status["milliseconds"]) == {"p50", "p99", "p99.9"}
    assert running.metric("twinspire_requests", route="/recommend", status="200") > 0
    assert running.metric("twinspire_version", label="stable") == 1


def test_paths_do_not_become_labels(running):
    for path in ("/nothing/a", "/nothing/b", "/users/x", "/users/y"):
        running.client.get(path)
    routes = set(re.findall(r'route="([^"]*)"', running.client.get("/metrics").text))
    assert {"/users/{user}", "other"} <= routes
    assert not any(route.startswith("/nothing") or route == "/users/x" for route in routes)


def test_the_interface_is_described(running):
    said = running.client.get("/openapi.json").json()
    assert {"/recommend", "/similar", "/events", "/users/{user}", "/healthz", "/metrics"} <= set(said["paths"])
    body = said["paths"]["/events"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/EventsRequest"}
    assert {"EventsRequest", "NewEvent", "RecommendRequest"} <= set(said["components"]["schemas"])


def test_tensorflow_servings_interface_is_there(running, bundle):
    inputs = bundle.request("u1", time=END) | bundle.inputs.limits(5)
    row = {name: value.tolist()[0] for name, value in inputs.items()} | {"relevance": -1.0}
    said = running.client.post("/v1/models/small:predict", json={"signature_name": "recommend", "instances": [row]})
    assert said.status_code == 200, said.text
    assert said.json()["predictions"][0]["items"] == [one.item for one in bundle.recommend("u1", 5, time=END)]
    assert running.client.get("/v1/models/small").json()["model_version_status"][0]["state"] == "AVAILABLE"
    assert running.client.get("/v1/models/small/labels/stable").status_code == 200


# --- when things break ----------------------------------------------------------------------------------------


def test_a_process_that_crashes_costs_fallback_answers_until_it_is_back(exact_bundle, tmp_path):
    publish(exact_bundle, tmp_path / "small", 1)
    with serving(tmp_path / "small", tmp_path / "state") as running:
        expected = running.ids(user="u1", k=5, time=END)
        os.kill(running.worker(), signal.SIGSEGV)
        sources: list[str] = []

        def is_back() -> bool:
            said = running.ask(user="u1", k=5, time=END)
            sources.append(said["source"])
            if said["source"] == "fallback":
                assert said["reason"] == "worker"
                # Austria's list, without what u1 took; then everyone's
                wanted = [one for one in [*POPULAR["at"], *POPULAR[EVERYONE]] if one not in ("i20", "i21", "it's")]
                assert [one["item"] for one in said["items"]] == wanted[:5]
            return said["source"] == "model" and "fallback" in sources

        running.until(is_back, "the model")
        assert running.ids(user="u1", k=5, time=END) == expected
        assert running.metric("twinspire_fallbacks", reason="worker") == sources.count("fallback")
        assert running.status()["processes"][0]["restarts"] == 1
        assert running.metric("twinspire_requests", route="/recommend", status="200") == len(sources) + 2


def test_a_deadline_that_passes_is_answered_by_popularity_of_what_filters_allow(exact_bundle, tmp_path):
    publish(exact_bundle, tmp_path / "small", 1)
    with serving(tmp_path / "small", tmp_path / "state", "limits.deadline=0.2") as running:
        worker = running.worker()
        os.kill(worker, signal.SIGSTOP)
        said = running.ask(k=10, filters={"stock": ["yes"], "region": ["at", "be"]}, exclude=[POPULAR[EVERYONE][0]])
        os.kill(worker, signal.SIGCONT)
        assert (said["source"], said["reason"]) == ("fallback", "deadline")
        items = [one["item"] for one in said["items"]]
        assert len(items) == 10
        for item in items:
            filters = small.popular_lists().items[item].filters
            assert filters["stock"] == ["yes"]
            assert {*filters["region"]} & {"at", "be"}
        assert POPULAR[EVERYONE][0] not in items


def test_no_model_answers_from_what_was_popular_and_a_model_that_comes_is_served(exact_bundle, tmp_path):
    model = tmp_path / "small"
    with serving(model, tmp_path / "state", ready=False) as running:
        assert running.client.get("/readyz").status_code == 503
        assert running.client.get("/healthz").status_code == 200
        said = running.ask(user="u1")
        assert (said["source"], said["reason"], said["version"], said["items"]) == ("fallback", "no model", 0, [])
        assert running.client.post("/similar", json={"item": "i20"}).status_code == 503
        publish(exact_bundle, model, 1)
        running.ready(1)
        assert running.ask(user="u1")["source"] == "model"
        shutil.rmtree(model)
        assert running.ask(user="u1")["source"] == "model"  # what is loaded goes on
        os.kill(running.worker(), signal.SIGKILL)
        running.until(lambda: running.ask(user="u1")["source"] == "fallback", "the fallback")
        publish(exact_bundle, model, 1)
        running.until(lambda: running.ask(user="u1")["source"] == "model", "the model")
    shutil.rmtree(model)
    with serving(model, tmp_path / "state", ready=False) as running:  # another day, beside an empty folder
        said = running.ask(k=5, exclude=[POPULAR[EVERYONE][0]])
        assert [one["item"] for one in said["items"]] == POPULAR[EVERYONE][1:6]


def test_a_store_that_is_down_costs_what_came_since_and_no_answer(exact_bundle, tmp_path):
    publish(exact_bundle, tmp_path / "small", 1)
    with serving(tmp_path / "small", tmp_path / "state", 'store="redis://127.0.0.1:1/0"') as running:
        assert running.ask(user="u1", k=5, time=END)["source"] == "model"
        assert running.ask("/events", events=[{"user": "u1", "item": "i44"}]) == {"accepted": 1, "stored": False}
        assert running.status()["store"] is False
        assert running.metric("twinspire_store_failures", call="get") >= 1


def test_more_than_can_wait_are_told_to_come_again(exact_bundle, tmp_path):
    publish(exact_bundle, tmp_path / "small", 1)
    limits = ("limits.queue=1", "runtime.calls=1", "runtime.batch.size=1")
    with serving(tmp_path / "small", tmp_path / "state", *limits) as running:
        os.kill(running.worker(), signal.SIGSTOP)  # nothing is answered for a while
        try:
            with httpx.Client(base_url=running.address, timeout=60) as client:
                calls = [
                    threading.Thread(target=lambda: client.post("/recommend", json={"user": "u1"})) for _ in range(2)
                ]
                for call in calls:
                    call.start()
                running.until(lambda: running.metric("twinspire_in_flight") == 2, "two calls")
                refused = running.client.post("/recommend", json={})
                assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
                assert running.client.get("/healthz").status_code == 200
                os.kill(_stopped(running), signal.SIGCONT)
                for call in calls:
                    call.join()
        finally:
            os.kill(_stopped(running), signal.SIGCONT)
        assert running.ask(user="u1")["source"] == "model"


def _stopped(running: Running) -> int:
    children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text().split()
    return int(children[0])


# --- versions -------------------------------------------------------------------------------------------------


def test_versions_are_swapped_under_load_and_no_request_is_lost(exact_bundle, scann_bundle, tmp_path):
    model = tmp_path / "small"
    publish(exact_bundle, model, 1)
    with serving(model, tmp_path / "state") as running:
        expected = {1: running.ids(user="u1", k=5, time=END)}
        answers: list[tuple[int, list[str], str]] = []
        done = threading.Event()

        def load() -> None:
            with httpx.Client(base_url=running.address, timeout=60) as client:
                while not done.is_set():
                    said = client.post("/recommend", json={"user": "u1", "k": 5, "time": END})
                    found = said.json()
                    answers.append((found["version"], [one["item"] for one in found["items"]], found["source"]))

        callers = [threading.Thread(target=load) for _ in range(3)]
        for caller in callers:
            caller.start()
        for number in (2, 3):
            publish(scann_bundle if number == 2 else exact_bundle, model, number)
            running.ready(number)
            expected[number] = running.ids(user="u1", k=5, time=END)
        done.set()
        for caller in callers:
            caller.join()
        assert {source for _, _, source in answers} == {"model"}
        assert {version for version, _, _ in answers} == {1, 2, 3}
        assert all(items == expected[version] for version, items, _ in answers)
        running.until(lambda: len(running.status()["processes"]) == 1, "one process")


@pytest.mark.parametrize("damage", ["flip", "cut", "lose", "golden", "mix"])
def test_a_damaged_version_is_refused_and_the_old_one_serves(damage, exact_bundle, scann_bundle, tmp_path):
    model = tmp_path / "small"
    publish(exact_bundle, model, 1)
    with serving(model, tmp_path / "state") as running:
        partial = small.copy(exact_bundle, model / ".partial-2")
        _break(partial, damage, scann_bundle)
        partial.rename(model / "2")
        running.until(lambda: running.metric("twinspire_versions_refused", reason="damaged") == 1, "a refusal")
        assert running.ask(user="u1")["version"] == 1
        state = next(one for one in running.status()["versions"] if one["number"] == 2)
        assert (state["state"], state["code"]) == ("END", "DATA_LOSS")
        shutil.rmtree((model / "2").rename(model / ".gone"))  # one that lacks more and more would be looked at again
        publish(exact_bundle, model, 2)  # mended: it is tried again
        running.ready(2)
        assert running.metric("twinspire_versions_refused", reason="damaged") == 1


def _break(folder: Path, damage: str, other: Path) -> None:
    data = next((folder / "variables").glob("*.data*"))
    if damage == "flip":
        found = bytearray(data.read_bytes())
        found[len(found) // 2] ^= 1
        data.write_bytes(found)
    elif damage == "cut":
        data.write_bytes(data.read_bytes()[:-1])
    elif damage == "lose":
        data.unlink()
    elif damage == "golden":
        golden = json.loads((folder / "assets.extra/golden.json").read_text())
        golden[0]["items"].reverse()
        (folder / "assets.extra/golden.json").write_text(json.dumps(golden))
        _seal_again(folder)
    else:
        shutil.copyfile(other / "saved_model.pb", folder / "saved_model.pb")


def _seal_again(folder: Path) -> None:
    from serving.manifest import seal

    said = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").unlink()
    seal(folder, {name: value for name, value in said.items() if name not in ("files", "id")})


def test_a_rollback_brings_the_version_before_back(exact_bundle, scann_bundle, tmp_path):
    model = tmp_path / "small"
    publish(exact_bundle, model, 1)
    publish(scann_bundle, model, 2)
    with serving(model, tmp_path / "state") as running:
        running.ready(2)
        roll_back(model)
        running.ready(1)
        publish(exact_bundle, model, 3)
        running.ready(3)


def test_a_canary_answers_its_share_of_users_and_always_the_same(exact_bundle, scann_bundle, tmp_path):
    model = tmp_path / "small"
    publish(exact_bundle, model, 1)
    publish(scann_bundle, model, 2)
    write_rollout(model, Rollout(canary=Canary(share=0.3)))
    with serving(model, tmp_path / "state") as running:
        running.until(lambda: "canary" in running.status()["labels"], "the canary")
        users = [f"u{number}" for number in range(60)]
        versions = {user: running.ask(user=user, k=1)["version"] for user in users}
        assert versions == {user: 2 if place("canary of small", user) < 0.3 else 1 for user in users}
        assert {1, 2} == set(versions.values())
        assert running.ask(k=1)["version"] == 1  # nobody in particular has the stable one
        assert running.client.get("/v1/models/small/labels/canary").json()["model_version_status"][0]["version"] == "2"


def test_a_shadow_is_asked_and_not_shown(exact_bundle, scann_bundle, tmp_path):
    model = tmp_path / "small"
    publish(exact_bundle, model, 1)
    publish(scann_bundle, model, 2)
    write_rollout(model, Rollout(shadow=2))
    with serving(model, tmp_path / "state") as running:
        running.until(lambda: running.status()["labels"] == {"stable": 1, "shadow": 2}, "the shadow")
        for _ in range(5):
            assert running.ask(user="u1")["version"] == 1
        running.until(lambda: running.metric("twinspire_shadow", outcome="answered") > 0, "a comparison")
        assert running.metric("twinspire_shadow_overlap_count") > 0


# --- logs, keys, experiments ----------------------------------------------------------------------------------


def test_what_was_shown_and_taken_is_written_down(exact_bundle, tmp_path):
    publish(exact_bundle, tmp_path / "small", 1)
    with serving(tmp_path / "small", tmp_path / "state") as running:
        said = running.ask(user="u1", k=3, time=END)
        running.ask("/events", events=[{"user": "u1", "item": "i44", "time": END + 1, "context": {"device": "tv"}}])
    (shown,) = pq.read_table(tmp_path / "state/logs/exposures").to_pylist()
    assert (shown["request"], shown["query"], shown["time"], shown["version"]) == (said["request"], "u1", END, 1)
    assert shown["items"] == [one["item"] for one in said["items"]]
    assert shown["source"] == "model"
    (event,) = pq.read_table(tmp_path / "state/logs/events").to_pylist()
    assert (event["user"], event["item"], event["device"]) == ("u1", "i44", "tv")


def test_places_that_chance_fills_are_logged_with_their_likelihood(exact_bundle, bundle, tmp_path):
    publish(exact_bundle, tmp_path / "small", 1)
    with serving(tmp_path / "small", tmp_path / "state", "explore.slots=1", "explore.pool=10") as running:
        lists = [running.ids(user="u1", k=4, time=END) for _ in range(30)]
    expected = [one.item for one in bundle.recommend("u1", 13, time=END)]
    assert {tuple(one[:3]) for one in lists} == {tuple(expected[:3])}
    assert 1 < len({one[3] for one in lists}) <= 10
    assert {one[3] for one in lists} <= {*expected[3:]}
    shown = pq.read_table(tmp_path / "state/logs/exposures").to_pylist()
    assert sorted(one["items"] for one in shown) == sorted(lists)
    assert all(one["propensities"] == pytest.approx([1, 1, 1, 0.1]) for one in shown)


def test_arms_are_served_as_they_say(exact_bundle, tmp_path):
    publish(exact_bundle, tmp_path / "small", 1)
    experiments = 'experiments=[{name="test", arms={model=0.5, popular={share=0.5, policy="popularity"}}}]'
    with serving(tmp_path / "small", tmp_path / "state", experiments) as running:
        found = {}
        for number in range(20):
            said = running.ask(user=f"x{number}", k=3)
            found.setdefault(said["arms"]["test"], set()).add(said["source"])
            if said["source"] == "popularity":
                assert [one["item"] for one in said["items"]] == POPULAR[EVERYONE][:3]
        assert found == {"model": {"model"}, "popular": {"popularity"}}
        assert running.ask(k=3)["arms"] == {}
        assert running.metric("twinspire_exposures", experiment="test", arm="popular") > 0


def test_the_key_is_asked_for(exact_bundle, tmp_path):
    publish(exact_bundle, tmp_path / "small", 1)
    with serving(tmp_path / "small", tmp_path / "state", "api_key=correct-horse") as running:
        assert running.client.post("/recommend", json={}).status_code == 401
        headers = {"X-API-Key": "correct-horse"}
        assert running.client.post("/recommend", json={}, headers=headers).status_code == 200


def test_a_batching_server_answers_the_same(exact_bundle, bundle, tmp_path):
    publish(exact_bundle, tmp_path / "small", 1)
    batch = ("runtime.batch.size=4", "runtime.batch.wait=0.02")
    with serving(tmp_path / "small", tmp_path / "state", *batch) as running:
        asked = [{"user": user, "k": k, "time": END} for user, k in (("u1", 3), ("u2", 9), ("x", 1), ("u1", 12))]
        found: list[list[str]] = [[] for _ in asked]

        def ask(number: int) -> None:
            said = httpx.post(f"{running.address}/recommend", json=asked[number], timeout=60).json()
            found[number] = [one["item"] for one in said["items"]]

        callers = [threading.Thread(target=ask, args=(number,)) for number in range(len(asked))]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        for one, items in zip(asked, found, strict=True):
            assert items == [place.item for place in bundle.recommend(one["user"], one["k"], time=END)]


# --- the command ----------------------------------------------------------------------------------------------


def test_a_port_that_is_taken_is_an_error_of_one_line(exact_bundle, tmp_path, running):
    publish(exact_bundle, tmp_path / "small", 1)
    port = running.address.rsplit(":", 1)[1]
    command = [COMMAND, "serve", str(tmp_path / "small"), "--port", port, "--set", f"state={tmp_path / 's'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: serve: 127.0.0.1:{port} cannot be had")


def test_one_version_is_no_model(exact_bundle, tmp_path):
    version = publish(exact_bundle, tmp_path / "small", 1)
    done = subprocess.run([COMMAND, "serve", str(version)], capture_output=True, text=True, check=False)
    assert (done.returncode, "name the folder of all versions" in done.stderr) == (2, True)


def test_items_that_may_not_be_shown_are_in_no_popular_list():
    assert not {small.IDS[row] for row in UNINDEXED} & set(POPULAR[EVERYONE])

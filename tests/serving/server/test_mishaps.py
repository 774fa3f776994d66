"""What goes wrong around versions, users and experiments, and what the server makes of it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pyarrow.parquet as pq
import pytest

from configs.serving import Runtime, Serving
from serving import manifest
from serving.golden import GOLDEN
from serving.manifest import BundleError, seal
from serving.popular import EVERYONE, POPULAR
from serving.rollout import Canary, Rollout, write_rollout
from serving.server.metrics import Metrics
from serving.server.version import Version, _opened
from serving.server.versions import Versions
from serving.worker.process import Worker
from tests.pipelines.experiment.logged import call
from tests.serving import small
from tests.serving.server.running import COMMAND, Running, serving
from tests.serving.small import END
from tests.serving.worker.test_process import eventually, processes


def publish(bundle: Path, model: Path, number: int) -> Path:
    model.mkdir(exist_ok=True)
    partial = small.copy(bundle, model / f".partial-{number}")
    return partial.rename(model / str(number))


def sealed_again(folder: Path, **facts: Any) -> Path:
    """A bundle whose manifest says what was changed in it."""
    said = json.loads((folder / "manifest.json").read_text()) | facts
    (folder / "manifest.json").unlink()
    seal(folder, {name: value for name, value in said.items() if name not in ("files", "id")})
    return folder


def with_golden(folder: Path, change: Any) -> None:
    golden = json.loads((folder / GOLDEN).read_text())
    (folder / GOLDEN).write_text(json.dumps(change(golden)))


# --- versions -------------------------------------------------------------------------------------------------


def test_one_version_that_fails_in_an_unforeseen_way_keeps_no_other_from_being_served(exact_bundle, tmp_path):
    model = tmp_path / "small"
    publish(exact_bundle, model, 1)
    with serving(model, tmp_path / "state") as running:
        partial = small.copy(exact_bundle, model / ".partial-2")
        with_golden(partial, lambda golden: [{**golden[0], "inputs": {"time": golden[0]["inputs"]["time"]}}])
        sealed_again(partial).rename(model / "2")
        sealed_again(small.copy(exact_bundle, model / ".partial-3"), signatures=None).rename(model / "3")
        running.until(lambda: len(ended(running)) == 2, "two refusals")
        assert running.ask(user="u1")["version"] == 1
        publish(exact_bundle, model, 4)
        running.ready(4)
        assert {one["code"] for one in ended(running)} == {"DATA_LOSS", "INTERNAL"}


def ended(running: Running) -> list[dict[str, Any]]:
    return [one for one in running.status()["versions"] if one["state"] == "END"]


def test_a_version_that_is_copied_to_its_place_is_served_once_it_is_whole(exact_bundle, tmp_path):
    model = tmp_path / "small"
    publish(exact_bundle, model, 1)
    with serving(model, tmp_path / "state") as running:
        (model / "2").mkdir()
        for part in ("assets.extra", "manifest.json", "saved_model.pb", "variables"):  # as rsync goes
            copy = shutil.copytree if (exact_bundle / part).is_dir() else shutil.copyfile
            copy(exact_bundle / part, model / "2" / part)
            running.until(lambda: len(ended(running)) == 1 or running.status()["labels"] == {"stable": 2}, "a look")
        running.ready(2)


def test_a_version_that_grows_at_its_place_is_not_read_at_each_look(exact_bundle, tmp_path, monkeypatch):
    model = tmp_path / "small"
    whole = publish(exact_bundle, tmp_path / "other", 1)
    model.mkdir()
    read: list[Path] = []
    described = manifest._described
    monkeypatch.setattr(manifest, "_described", lambda path: (read.append(path), described(path))[1])

    async def story() -> None:
        versions = Versions(model, Serving(state=str(tmp_path)), Metrics())
        copy = model / "1"
        copy.mkdir()
        data = next((whole / "variables").glob("*.data*"))
        for path in sorted(whole.rglob("*")):  # as rsync goes, and each look finds another file
            if path.is_dir() or path == data:
                continue
            (copy / path.relative_to(whole)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy / path.relative_to(whole))
            await versions.look()
        with (copy / data.relative_to(whole)).open("wb") as growing:
            for part in (data.read_bytes()[:1000], b"a" * (data.stat().st_size - 1000)):
                growing.write(part)
                growing.flush()
                await versions.look()
            assert read == []  # sizes and names said enough, and while it changes it is not looked at
            await versions.look()
            assert data.name in {path.name for path in read}  # as large as it should be, for the time of a look
            read.clear()
            for place in range(0, data.stat().st_size, data.stat().st_size // 10):  # in place, as some copy
                growing.seek(place)
                growing.write(data.read_bytes()[place:])
                growing.flush()
                await versions.look()
            assert read == []
        await versions.look()
        assert versions.labels == {"stable": 1}
        await versions.close()

    asyncio.run(story())


def test_a_folder_that_was_replaced_is_read_once_however_often_a_start_is_tried(exact_bundle, tmp_path, monkeypatch):
    folder = publish(exact_bundle, tmp_path / "small", 1)
    _, _, check = _opened(folder)
    read: list[Path] = []
    verify = manifest.verify
    monkeypatch.setattr("serving.server.version.verify", lambda path: (read.append(path), verify(path))[1])
    check()
    assert read == []
    os.utime(folder / "saved_model.pb")  # touched, and the same
    for _ in range(3):
        check()
    assert len(read) == 1
    (folder / "saved_model.pb").write_bytes(b"nothing")
    for _ in range(3):
        with pytest.raises(BundleError, match="was replaced by another one, or damaged"):
            check()
    assert len(read) == 2


def test_a_process_that_starts_again_has_what_was_verified_or_another_version_answers(exact_bundle, tmp_path):
    model, other = tmp_path / "small", small.export(small.build("exact", seed=3), tmp_path / "other")
    publish(exact_bundle, model, 1)
    publish(other, model, 2)
    with serving(model, tmp_path / "state") as running:
        running.ready(2)
        expected = running.ids(user="u1", k=8, time=END)
        data = next((model / "2" / "variables").glob("*.data*"))
        data.write_bytes(data.read_bytes()[:-9])
        os.kill(running.worker(), signal.SIGKILL)
        running.until(lambda: running.ask(user="u1")["version"] == 1, "the version before")
        running.until(lambda: running.ask(user="u1")["source"] == "model", "its model")
        before = running.ids(user="u1", k=8, time=END)
        assert before != expected
        shutil.rmtree(model / "1")
        publish(other, model, 1)
        assert running.ids(user="u1", k=8, time=END) == before
        os.kill(running.worker(), signal.SIGKILL)
        running.until(lambda: answers(running) == expected, "what stands there now")
        assert running.status()["processes"][0]["restarts"] == 0  # it is another version, golden requests and all


def test_a_process_that_starts_again_counts_as_ready_once_it_has_answered(exact_bundle, tmp_path):
    model = tmp_path / "small"
    publish(exact_bundle, model, 1)
    calls: list[tuple[int, str]] = []

    async def story() -> None:
        version = await Version.load(model / "1", Runtime(calls=2))
        await eventually(lambda: len(calls) == 2)
        for _ in range(2):
            before, asked = version.pid, len(calls)
            os.kill(before, signal.SIGKILL)
            await eventually(lambda: not version.ready)
            await eventually(lambda: version.ready)
            assert sorted(calls[asked:]) == [(version.pid, "recommend"), (version.pid, "similar_items")]
        await version.retire(1)

    with pytest.MonkeyPatch.context() as patch:
        run = Worker.run

        async def noted(self: Worker, signature: str, *given: Any, **named: Any) -> Any:
            answer = await run(self, signature, *given, **named)
            calls.append((self.pid, signature))
            return answer

        patch.setattr(Worker, "run", noted)
        asyncio.run(story())


def test_a_process_that_starts_again_and_answers_otherwise_is_not_asked(exact_bundle, tmp_path):
    model = tmp_path / "small"
    publish(exact_bundle, model, 1)

    async def story() -> None:
        version = await Version.load(model / "1", Runtime(calls=2))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("serving.golden.Golden._level", lambda *_: False)
            patch.setattr("serving.golden.Golden.items", ["another"], raising=False)
            os.kill(version.pid, signal.SIGKILL)
            await eventually(lambda: version.lost)
            assert not version.ready
        await eventually(lambda: version.ready)
        await version.retire(1)

    before = processes()
    asyncio.run(story())
    assert processes() <= before


def answers(running: Running) -> list[str] | None:
    said = running.ask(user="u1", k=8, time=END)
    return [one["item"] for one in said["items"]] if said["source"] == "model" else None


def test_a_version_that_is_withdrawn_while_it_is_loaded_never_answers(exact_bundle, tmp_path):
    model = tmp_path / "small"
    publish(exact_bundle, model, 1)

    async def story() -> list[int]:
        versions, answered = Versions(model, Serving(state=str(tmp_path)), Metrics()), list[int]()
        versions.on_swap(lambda version: answered.append(version.number))
        await versions.look()
        publish(exact_bundle, model, 2)
        looking = asyncio.ensure_future(versions.look())
        while "LOADING" not in {one.state for one in versions.states()}:
            await asyncio.sleep(0.01)
        write_rollout(model, Rollout(withdrawn=(2,)))
        await looking
        assert versions.labels == {"stable": 1}
        await versions.close()
        return answered

    assert asyncio.run(story()) == [1]


def test_where_every_version_was_withdrawn_popularity_answers(exact_bundle, tmp_path):
    model = tmp_path / "small"
    publish(exact_bundle, model, 1)
    with serving(model, tmp_path / "state") as running:
        assert running.ask(user="u1")["source"] == "model"
        write_rollout(model, Rollout(withdrawn=(1,)))
        running.until(lambda: running.ask(user="u1")["version"] == 0, "the withdrawal")
        said = running.ask(k=3)
        assert (said["source"], said["reason"], said["version"]) == ("fallback", "withdrawn", 0)
        assert [one["item"] for one in said["items"]] == list(small.popular_lists().lists[EVERYONE][:3])
        assert running.client.get("/readyz").status_code == 503
        refused = running.client.post("/similar", json={"item": "i20"})
        assert (
            refused.status_code,
            "every version of small was withdrawn; `twinspire publish` puts another one" in refused.text,
        ) == (503, True)
        assert running.metric("twinspire_fallbacks", reason="withdrawn") >= 2
        assert (running.status()["labels"], running.status()["away"]) == ({}, "withdrawn")
        running.until(lambda: running.status()["processes"] == [], "the end of its process")
        publish(exact_bundle, model, 2)
        running.ready(2)
        assert running.status()["away"] is None
        write_rollout(model, Rollout(withdrawn=(1, 2)))
        running.until(lambda: running.ask(user="u1")["version"] == 0, "the withdrawal")
        write_rollout(model, Rollout(withdrawn=(2,)))
        running.ready(1)


def test_a_server_that_starts_beside_a_broken_rollout_serves_nothing_that_was_withdrawn(exact_bundle, tmp_path):
    model = tmp_path / "small"
    for number in (1, 2):
        publish(exact_bundle, model, number)
    write_rollout(model, Rollout(withdrawn=(2,)))
    with serving(model, tmp_path / "state") as running:
        running.ready(1)
        assert (running.status()["rollout_error"], running.metric("twinspire_rollout_unreadable")) == (None, 0)
    (model / "rollout.json").write_text('{"withdrawn": [2')
    with serving(model, tmp_path / "state") as running:
        assert running.ask(user="u1")["version"] == 1
        assert "rollout.json" in running.status()["rollout_error"]
        assert running.metric("twinspire_rollout_unreadable") == 1
        assert running.metric("twinspire_versions_refused", reason="rollout") == 1
        assert any("what was decided before stands" in line for line in running.said)
        write_rollout(model, Rollout())
        running.ready(2)
        assert (running.status()["rollout_error"], running.metric("twinspire_rollout_unreadable")) == (None, 0)
    (model / "rollout.json").write_text("{")
    with serving(model, tmp_path / "other", ready=False) as running:  # a server that knows nothing of before
        running.until(lambda: bool(running.status()["rollout_error"]), "a look")
        said = running.ask(user="u1")
        assert (said["source"], said["reason"], said["version"]) == ("fallback", "rollout", 0)
        assert running.client.get("/readyz").status_code == 503
        refused, status = running.client.get("/catalogue").json()["error"], running.status()
        assert status["away"] == "rollout"
        assert (status["rollout_error"] in refused, "mend that file" in refused, "publish" in refused) == (
            True,
            True,
            False,
        )
        assert any("no version is served until it can be" in line for line in running.said)
        write_rollout(model, Rollout(withdrawn=(2,)))
        running.ready(1)


def test_a_folder_that_is_moved_away_has_decided_nothing(exact_bundle, tmp_path):
    model = tmp_path / "small"
    for number in (6, 7):
        publish(exact_bundle, model, number)
    write_rollout(model, Rollout(stable=6, canary=Canary(version=7, share=0.1)))

    async def story() -> None:
        versions = Versions(model, Serving(state=str(tmp_path / "state")), Metrics())
        await versions.look()
        for leave in (lambda: None, model.mkdir):  # a disk that is not mounted may leave its folder
            away = model.rename(tmp_path / "away")
            leave()
            await versions.look()
            assert (versions.labels, versions.share) == ({"stable": 6, "canary": 7}, 0.1)
            away.rename(model)
        await versions.close()

    asyncio.run(story())


def test_a_disk_that_comes_late_and_damaged_serves_nothing_that_was_withdrawn(exact_bundle, tmp_path):
    model, state = tmp_path / "small", tmp_path / "state"
    for number in (1, 2):
        publish(exact_bundle, model, number)
    write_rollout(model, Rollout(withdrawn=(2,)))

    async def start(late: bool) -> None:
        versions = Versions(model, Serving(state=str(state)), Metrics())
        if late:
            away = model.rename(tmp_path / "away")
            await versions.look()
            assert (versions.labels, versions.away) == ({}, "no model")
            (away / "rollout.json").write_text('{"withdrawn": [2')
            away.rename(model)
        await versions.look()
        assert versions.labels == {"stable": 1}
        await versions.close()

    asyncio.run(start(late=False))
    asyncio.run(start(late=True))


@pytest.mark.parametrize("when", ["before the look", "while another one is loaded"])
def test_a_version_that_was_withdrawn_answers_until_its_place_is_taken_and_not_until_a_canary_is_loaded(
    when, exact_bundle, tmp_path, monkeypatch
):
    model = tmp_path / "small"
    publish(exact_bundle, model, 5)
    publish(exact_bundle, model, 6)
    write_rollout(model, Rollout(stable=5, canary=Canary(version=6, share=0.1)))
    load, may = Version.load, asyncio.Event()

    async def slow(folder: Path, runtime: Runtime) -> Version:
        if folder.name == "7":
            await may.wait()
        return await load(folder, runtime)

    monkeypatch.setattr(Version, "load", slow)

    async def story() -> None:
        versions = Versions(model, Serving(state=str(tmp_path), poll=0.05), Metrics())
        await versions.look()
        assert versions.labels == {"stable": 5, "canary": 6}
        publish(exact_bundle, model, 7)
        write_rollout(model, Rollout(stable=5, canary=Canary(version=7, share=0.2)))
        after = Rollout(withdrawn=(5,), stable=6, canary=Canary(version=7, share=0.2))
        if when == "before the look":
            write_rollout(model, after)
        looking = asyncio.ensure_future(versions.look())
        await eventually(lambda: "LOADING" in {one.state for one in versions.states()})
        write_rollout(model, after)
        await eventually(lambda: versions.labels == {"stable": 6})
        assert "LOADING" in {one.state for one in versions.states()}
        assert versions.pick("u1").number == 6
        may.set()
        await looking
        assert (versions.labels, versions.share) == ({"stable": 6, "canary": 7}, 0.2)
        await versions.close()

    asyncio.run(story())


def test_a_version_that_is_withdrawn_while_it_is_loaded_is_not_waited_for(exact_bundle, tmp_path, monkeypatch):
    model = tmp_path / "small"
    publish(exact_bundle, model, 1)
    load = Version.load

    async def endless(folder: Path, runtime: Runtime) -> Version:
        if folder.name == "2":
            await asyncio.Event().wait()
        return await load(folder, runtime)

    monkeypatch.setattr(Version, "load", endless)

    async def story() -> None:
        versions = Versions(model, Serving(state=str(tmp_path), poll=0.05), Metrics())
        await versions.look()
        publish(exact_bundle, model, 2)
        looking = asyncio.ensure_future(versions.look())
        await eventually(lambda: "LOADING" in {one.state for one in versions.states()})
        write_rollout(model, Rollout(withdrawn=(1, 2)))
        await asyncio.wait_for(looking, 10)
        assert (versions.labels, versions.away) == ({}, "withdrawn")
        assert "LOADING" not in {one.state for one in versions.states()}
        await versions.close()

    asyncio.run(story())


# --- users ----------------------------------------------------------------------------------------------------


def test_what_is_stored_of_a_user_and_does_not_fit_any_more_costs_no_list(exact_bundle, tmp_path):
    model = tmp_path / "small"
    publish(exact_bundle, model, 1)
    with serving(model, tmp_path / "state") as running:
        assert running.client.put("/users/u9", json={"features": {"country": "at"}}).json() == {"stored": True}
        partial = small.copy(exact_bundle, model / ".partial-2")
        config = json.loads((partial / "manifest.json").read_text())["config"]
        at = next(place for place, one in enumerate(config["features"]) if one["name"] == "country")
        config["features"][at] = {"name": "country", "table": "queries", "kind": "number", "missing": 1.0}
        config["data"]["segment"] = None
        sealed_again(partial, config=config).rename(model / "2")
        running.ready(2)
        answer = running.client.post("/recommend", json={"user": "u9"})
        assert "expected a finite number" not in answer.text
        answer = running.client.post("/recommend", json={"user": "u9", "features": {"country": "at"}})
        assert (answer.status_code, "country: found 'at'" in answer.text) == (422, True)


def test_a_bundle_names_no_values_or_more_than_are_told(exact_bundle, tmp_path):
    model = tmp_path / "small"
    folder = small.copy(exact_bundle, tmp_path / "older")
    said = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").unlink()
    seal(folder, {name: value for name, value in said.items() if name not in ("files", "id", "values")})
    publish(folder, model, 1)

    def country(running: Running) -> tuple[list[str], bool]:
        features = running.client.get("/catalogue").json()["features"]
        return next((one["values"], one["more"]) for one in features if one["name"] == "country")

    with serving(model, tmp_path / "state") as running:
        assert country(running) == ([], False)
        many = [f"c{number:03}" for number in range(201)]
        sealed_again(small.copy(exact_bundle, model / ".partial-2"), values={"country": many}).rename(model / "2")
        running.ready(2)
        assert country(running) == (many[:200], True)


@pytest.fixture(scope="module")
def running(exact_bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mishaps")
    publish(exact_bundle, folder / "small", 1)
    with serving(folder / "small", folder / "state") as found:
        yield found


def test_ids_may_hold_slashes_and_are_bounded(running):
    assert running.client.put("/users/a%2Fb/c", json={"features": {"country": "at"}}).json() == {"stored": True}
    assert running.client.get("/users/a/b%2Fc").json()["features"] == {"country": "at"}
    assert running.client.get(f"/users/{'x' * 1001}").status_code == 422
    assert running.client.get("/users/").status_code == 422


def test_a_whole_number_is_the_same_word_wherever_it_comes_from(running):
    running.client.put("/users/u60", json={"features": {"country": 5, "age": 7}})
    assert running.client.get("/users/u60").json()["features"] == {"country": 5, "age": 7}
    for body in ('{"features": {"age": 1e400}}', '{"features": {"age": 1' + "0" * 400 + "}}"):
        assert running.client.post("/recommend", content=body).status_code == 422


def test_text_that_is_none_is_refused_before_it_is_stored(running):
    answer = running.client.put(
        "/users/u61", content=b'{"features": {"country": "\\ud800"}}', headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, "country: found '\\ud800'" in answer.json()["error"]) == (422, True)
    assert running.client.get("/users/u61").json()["known"] is False


def test_items_are_found_where_the_folder_is_gone(exact_bundle, tmp_path):
    model = tmp_path / "small"
    publish(exact_bundle, model, 1)
    with serving(model, tmp_path / "state") as running:
        shutil.rmtree(model)
        assert running.client.get("/items", params={"text": "i20"}).json()["items"][0]["item"] == "i20"


# --- the store ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["garbage", "cut", "foreign", "emptied"])
def test_a_damaged_store_costs_no_start_stays_as_it_is_and_a_good_one_is_used(damage, exact_bundle, tmp_path):
    publish(exact_bundle, tmp_path / "small", 1)
    file = tmp_path / "state" / "store.sqlite"
    with serving(tmp_path / "small", tmp_path / "state") as running:
        assert running.ask("/events", events=[{"user": "u70", "item": "i44"}])["stored"] is True
    good = shutil.copyfile(file, tmp_path / "good.sqlite")
    damaged(file, damage)
    files = [file, file.with_name("store.sqlite-wal")]
    found = written(files)
    with serving(tmp_path / "small", tmp_path / "state") as running:
        assert running.ask(user="u1")["source"] == "model"
        assert running.ask("/events", events=[{"user": "u70", "item": "i45"}]) == {"accepted": 1, "stored": False}
        status = running.status()
        assert (status["store"], str(file) in status["store_trouble"]) == (False, True)
        assert running.metric("twinspire_store_up") == 0
        told = [line for line in running.said if "twinspire.users ERROR" in line]
        assert len(told) == 1
        assert str(file) in told[0]
        assert written(files) == found
        if damage == "garbage":  # the person mends it, or else moves it away
            os.replace(good, file)
        else:
            for one in sorted(file.parent.glob("store.sqlite*"), reverse=True):  # itself last: then a new one comes
                one.rename(tmp_path / one.name)
        running.until(lambda: running.status()["store"], "the store")
        assert (running.status()["store_trouble"], running.metric("twinspire_store_up")) == (None, 1)
        # on a busy machine the first write into a new file may take longer than a request waits for it
        running.until(
            lambda: running.ask("/events", events=[{"user": "u71", "item": "i1"}])["stored"], "a stored event"
        )
        assert running.ask("/events", events=[{"user": "u70", "item": "i46"}])["stored"] is True
        history = [one["item"] for one in running.client.get("/users/u70").json()["history"]]
        assert history == (["i46", "i44"] if damage == "garbage" else ["i46"])
    if damage != "garbage":
        assert written([tmp_path / one.name for one in files]) == found


def written(files: list[Path]) -> dict[str, bytes]:
    """What is in them: while the server looks whether the store is whole again, an empty log lies beside it."""
    found = {}
    for file in files:
        with suppress(FileNotFoundError):
            found[file.name] = file.read_bytes()
    return {name: content for name, content in found.items() if content or not name.endswith("-wal")}


def damaged(file: Path, how: str) -> None:
    if how == "garbage":
        file.write_bytes(b"\xff" * file.stat().st_size)
    elif how == "cut":
        os.truncate(file, file.stat().st_size - 1)
    elif how == "foreign":
        file.unlink()
        with sqlite3.connect(file) as connection:
            connection.execute("CREATE TABLE events (x)")
        connection.close()
    else:  # the log of writes alone is left
        file.with_name("store.sqlite-wal").write_bytes(file.read_bytes())
        os.truncate(file, 0)


def test_a_store_that_cannot_be_had_at_all_is_an_error_of_one_line(tmp_path):
    store = f'store="{tmp_path / "nowhere" / "store.sqlite"}"'
    command = [COMMAND, "serve", str(tmp_path / "small"), "--port", "0", "--set", store, "--set", f"state={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.startswith("error: store: ")) == (2, True), done.stderr


def history(running: Running, user: str) -> list[str]:
    return [one["item"] for one in running.client.get(f"/users/{user}").json()["history"]]


@pytest.mark.parametrize("place", ["sqlite", "redis"])
def test_stored_events_go_once_every_version_has_data_beyond_them_and_they_are_old(
    place, exact_bundle, tmp_path, request
):
    store = []
    if place == "redis":
        redis = request.getfixturevalue("redis_server")
        redis.empty()
        store = [f'store="{redis.url}"']
    model = tmp_path / "small"
    publish(exact_bundle, model, 1)
    with serving(model, tmp_path / "state", "keep=1", *store) as running:
        moments = {"i41": END - 1, "i42": END, "i43": END + 5, "i44": END + 50}
        running.ask("/events", events=[{"user": "u80", "item": item, "time": at} for item, at in moments.items()])
        running.until(lambda: history(running, "u80") == ["i44", "i43", "i42"], "the first to go")
        write_rollout(model, Rollout(canary=Canary(share=0.5)))
        data = {"start": END - 10**7, "end": END + 10, "events": 1000}
        sealed_again(small.copy(exact_bundle, model / ".partial-2"), data=data).rename(model / "2")
        running.until(lambda: "canary" in running.status()["labels"], "the canary")
        time.sleep(2.5)  # two looks
        assert history(running, "u80") == ["i44", "i43", "i42"]  # the stable version would not know of them
        write_rollout(model, Rollout())
        running.ready(2)
        running.until(lambda: history(running, "u80") == ["i44"], "what the data has")
        assert running.metric("twinspire_events_pruned") == 3
    with serving(model, tmp_path / "state", "keep=1000", *store) as running:
        running.ask("/events", events=[{"user": "u81", "item": "i41", "time": END - 1}])
        time.sleep(1.5)
        assert history(running, "u81") == ["i41"]


# --- experiments ----------------------------------------------------------------------------------------------


def test_who_is_compared_with_the_canary_is_not_answered_by_it(exact_bundle, tmp_path):
    model = tmp_path / "small"
    publish(exact_bundle, model, 1)
    publish(exact_bundle, model, 2)
    write_rollout(model, Rollout(canary=Canary(share=0.5)))
    arms = 'experiments=[{name="test", arms={control=0.5, treatment={share=0.5, label="canary"}}}]'
    with serving(model, tmp_path / "state", arms) as running:
        running.until(lambda: "canary" in running.status()["labels"], "the canary")
        said = [running.ask(user=f"x{number}", k=1) for number in range(30)]
        assert {(one["arms"]["test"], one["version"]) for one in said} == {("control", 1), ("treatment", 2)}


def test_an_arm_whose_version_is_not_served_is_told_apart_wherever_it_is_looked_at(exact_bundle, tmp_path):
    model, state = tmp_path / "small", tmp_path / "state"
    publish(exact_bundle, model, 1)
    arms = 'experiments=[{name="test", arms={control=0.5, treatment={share=0.5, label="canary"}}}]'
    users = [f"x{number}" for number in range(40)]
    with serving(model, state, arms) as running:
        before = [running.ask(user=user, k=1) for user in users]
        told = {(one["arms"]["test"], one["version"], one["source"], one.get("reason")) for one in before}
        assert told == {("control", 1, "model", None), ("treatment", 1, "model", "arm")}
        treated = next(user for user, one in zip(users, before, strict=True) if one["arms"]["test"] == "treatment")
        running.ask(user=treated, shown=False)  # no exposure
        missed = sum(one["arms"]["test"] == "treatment" for one in before)
        assert running.metric("twinspire_arms_not_served", experiment="test", arm="treatment") == missed
        assert running.status()["arms_not_served"] == {"test/treatment": missed}
        publish(exact_bundle, model, 2)
        write_rollout(model, Rollout(canary=Canary(share=0.5)))
        running.until(lambda: "canary" in running.status()["labels"], "the canary")
        after = [running.ask(user=user, k=1) for user in users]
        assert {(one["arms"]["test"], one["version"], one.get("reason")) for one in after} == {
            ("control", 1, None),
            ("treatment", 2, None),
        }
        assert running.status()["arms_not_served"] == {"test/treatment": missed}
    answered = {one["request"]: (one["version"], one.get("reason") or "") for one in (*before, *after)}
    logged = pq.read_table(state / "logs/exposures").to_pylist()
    assert {one["request"]: (one["version"], one["reason"]) for one in logged} == answered
    said = call("analyze", state / "logs", "--metric", "seconds", "--json")
    assert json.loads(said.output)["not_served"] == {"treatment": {"lists": missed, "share": 0.5}}


def test_of_two_experiments_the_one_that_says_which_version_answers_is_told_and_no_list_that_popularity_made(
    exact_bundle, tmp_path
):
    model = tmp_path / "small"
    publish(exact_bundle, model, 1)
    arms = (
        'experiments=[{name="first", arms={own={share=0.3, label="stable"}, plain={share=0.3, policy="popularity"}}},'
        '{name="second", arms={all={share=1, label="canary"}}}]'
    )
    with serving(model, tmp_path / "state", arms) as running:
        said = {user: running.ask(user=user, k=1) for user in (f"x{number}" for number in range(40))}
        told = {(one["arms"].get("first"), one["source"], one.get("reason")) for one in said.values()}
        assert told == {("own", "model", None), ("plain", "popularity", None), (None, "model", "arm")}
        counted = {"second/all": sum("first" not in one["arms"] for one in said.values())}
        assert running.status()["arms_not_served"] == counted
        user = next(user for user, one in said.items() if "first" not in one["arms"])
        os.kill(running.worker(), signal.SIGSTOP)
        try:
            assert running.ask(user=user, k=1)["reason"] == "deadline"
        finally:
            os.kill(running.worker(), signal.SIGCONT)
        assert running.status()["arms_not_served"] == counted


def test_an_arm_of_popularity_is_answered_where_a_version_says_nothing_of_it(exact_bundle, tmp_path):
    model = tmp_path / "small"
    folder = small.copy(exact_bundle, tmp_path / "older")
    (folder / POPULAR).unlink()
    publish(sealed_again(folder), model, 1)
    arms = 'experiments=[{name="test", arms={popular={share=1.0, policy="popularity"}}}]'
    with serving(model, tmp_path / "state", arms) as running:
        assert (running.ask(user="x", k=3)["source"], len(running.ids(user="x", k=3))) == ("model", 3)
        publish(exact_bundle, model, 2)
        running.ready(2)
        publish(folder, model, 3)
        running.ready(3)
        said = running.ask(user="x", k=3)  # what the version before knew is better than nothing
        assert [one["item"] for one in said["items"]] == list(small.popular_lists().lists[EVERYONE][:3])
        assert said["source"] == "popularity"


# --- the start ------------------------------------------------------------------------------------------------


def test_who_is_told_the_address_is_not_turned_away(exact_bundle, tmp_path):
    for _ in range(3):
        with serving(tmp_path / "nothing", tmp_path / "state", ready=False) as running:
            assert httpx.get(f"{running.address}/healthz").status_code == 200


class Watched(dict):
    """Knows which threads changed it."""

    changed: ClassVar[set[int]] = set()

    def __setitem__(self, key: Any, value: Any) -> None:
        self.changed.add(threading.get_ident())
        super().__setitem__(key, value)


def test_a_lasting_refusal_costs_no_look_at_the_files(exact_bundle, tmp_path):
    model = tmp_path / "small"
    (publish(exact_bundle, model, 1) / "saved_model.pb").unlink()

    async def story() -> None:
        versions = Versions(model, Serving(state=str(tmp_path)), Metrics())
        await versions.look()
        assert [one.code for one in versions.states()] == ["DATA_LOSS"]
        started = time.process_time()
        versions._refused = Watched(versions._refused)
        await versions.look()
        assert time.process_time() - started < 0.1
        assert Watched.changed == {threading.get_ident()}  # requests read it in the loop's thread
        assert versions.states()[0].message.startswith("bundle: ")
        await versions.close()

    asyncio.run(story())


def test_nobody_waits_for_a_canary_to_be_loaded(exact_bundle, tmp_path):
    model = tmp_path / "small"
    publish(exact_bundle, model, 1)
    publish(exact_bundle, model, 2)
    write_rollout(model, Rollout(canary=Canary(share=0.5)))

    async def story() -> None:
        versions = Versions(model, Serving(state=str(tmp_path)), Metrics())
        looking = asyncio.ensure_future(versions.look())
        while versions.stable is None:
            await asyncio.sleep(0.01)
        while len(states := {one.number: one.state for one in versions.states()}) == 1 and not looking.done():
            await asyncio.sleep(0.01)  # it answers already, a moment before the loading of the other begins
        assert states == {1: "AVAILABLE", 2: "LOADING"}
        await looking
        assert versions.labels == {"stable": 1, "canary": 2}
        await versions.close()

    asyncio.run(story())

"""Stores that break: what is down says so at once, comes back by itself, and loses nothing that it acknowledged."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from serving.state import QueryState
from serving.store import Event, StoreDown, StoreError, open_store
from tests.redis_server import RedisServer
from tests.serving.store.test_contract import event, plain

ROOT = Path(__file__).resolve().parents[3]
LONG = 30.0


async def eventually(ask, seconds: float = LONG):
    """The answer, once there is one."""
    end = time.monotonic() + seconds
    while True:
        try:
            return await ask()
        except StoreDown:
            assert time.monotonic() < end, "it never came back"
        await asyncio.sleep(0.05)


async def down(ask) -> float:
    """The seconds after which it is said to be down."""
    began = time.monotonic()
    with pytest.raises(StoreDown):
        await ask()
    return time.monotonic() - began


# --- Redis ------------------------------------------------------------------------------------------------------


def test_redis_killed_is_down_at_once_and_found_again(fragile_redis: RedisServer):
    async def story() -> None:
        store = await open_store(fragile_redis.url)
        add = [eventually(lambda n=n: store.add([event("u", f"i{n}", n)])) for n in range(40)]  # on many connections
        await asyncio.gather(*add)
        fragile_redis.kill()
        await down(lambda: store.get("u"))
        assert min([await down(lambda: store.get("u")) for _ in range(20)]) < 0.01  # nothing is tried
        await down(lambda: store.add([event("u", "lost", 1)]))
        await down(store.ping)
        with pytest.raises(StoreDown):
            await store.load([("u", QueryState({}, [], []))], 5)
        fragile_redis.start()
        found = await eventually(lambda: store.get("u"))
        assert len(found.events) == 40
        await eventually(lambda: store.add([event("u", "more", 100)]))
        ask = [eventually(lambda: store.get("u")) for _ in range(40)]  # no connection is a dead one
        answers = await asyncio.gather(*ask)
        assert all(len(one.events) == 41 for one in answers)
        await store.close()

    asyncio.run(story())


def test_redis_that_hangs_costs_little_time(fragile_redis: RedisServer):
    async def story() -> None:
        store = await open_store(fragile_redis.url)
        await eventually(lambda: store.add([event("u", "a", 1)]))
        fragile_redis.hold()
        assert await down(lambda: store.get("u")) < 5
        await down(lambda: store.get("u"))
        await down(lambda: store.get("u"))
        assert min([await down(lambda: store.get("u")) for _ in range(5)]) < 0.01
        fragile_redis.release()
        assert plain(await eventually(lambda: store.get("u")))[0] == [("a", 1)]
        await store.close()

    asyncio.run(story())


def test_redis_that_is_not_there_yet_opens_all_the_same(fragile_redis: RedisServer):
    async def story() -> None:
        fragile_redis.kill()
        store = await open_store(fragile_redis.url)
        await down(store.ping)
        fragile_redis.start()
        await eventually(store.ping)
        await eventually(lambda: store.add([event("u", "a", 1)]))
        assert plain(await eventually(lambda: store.get("u")))[0] == [("a", 1)]
        await store.close()

    asyncio.run(story())


def test_redis_with_another_layout_is_refused(redis_server: RedisServer):
    redis_server.empty()
    with redis_server.client() as client:
        client.hset("twinspire:meta", "version", "0")
    with pytest.raises(StoreError, match=r"version 0 .* expected 1"):
        asyncio.run(open_store(redis_server.url, write=LONG))
    redis_server.empty()


# --- SQLite -----------------------------------------------------------------------------------------------------

WRITES = """
import asyncio, sys
from serving.store import Event, open_store

async def write():
    store = await open_store(sys.argv[1], 10**6, 60, 60)
    place = 0
    while True:
        await asyncio.gather(*(store.add([Event("u", f"i{place + n}", place + n)]) for n in range(20)))
        print(place + 20, flush=True)
        place += 20

asyncio.run(write())
"""


def test_a_process_that_is_killed_loses_no_event_that_it_acknowledged(tmp_path):
    path = tmp_path / "store.sqlite"
    command = [sys.executable, "-c", WRITES, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        for _ in range(30):
            acknowledged = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        acknowledged = max([acknowledged, *(int(line) for line in process.stdout if line.endswith("\n"))])

    async def story() -> None:
        store = await open_store(str(path), keep=10**6)
        found = [time for _, time in (await eventually(lambda: store.get("u"))).events]
        await store.close()
        assert set(range(acknowledged)) <= set(found)

    asyncio.run(story())
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_file_that_is_written_to_by_another_holds_up_neither_readers_nor_the_loop(tmp_path):
    path = tmp_path / "store.sqlite"

    async def story() -> None:
        store = await open_store(str(path), write=LONG)
        await eventually(lambda: store.add([event("u", "a", 1)]))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(store.add([event("u", "b", 2)]))
        turns, end = 0, time.monotonic() + 0.2
        while time.monotonic() < end:
            await asyncio.sleep(0.001)
            assert plain(await eventually(lambda: store.get("u")))[0] == [("a", 1)]
            turns += 1
        assert turns > 10
        assert not waiting.done()
        other.execute("COMMIT")
        other.close()
        assert await waiting == 1
        await store.close()

    asyncio.run(story())


def test_a_file_that_stays_locked_is_down_and_comes_back(tmp_path):
    path = tmp_path / "store.sqlite"

    async def story() -> None:
        store = await open_store(str(path))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert await down(lambda: store.add([event("u", "a", 1)])) < 5
        assert await eventually(lambda: store.get("u")) is None
        other.execute("COMMIT")
        other.close()
        await eventually(lambda: store.add([event("u", "b", 2)]))
        assert ("b", 2) in plain(await eventually(lambda: store.get("u")))[0]
        await store.close()

    asyncio.run(story())


def test_a_file_that_is_gone_is_down_until_it_is_back(tmp_path):
    path, away = tmp_path / "here" / "store.sqlite", tmp_path / "away"
    path.parent.mkdir()

    async def story() -> None:
        store = await open_store(str(path))
        await eventually(lambda: store.add([event("u", "a", 1)]))
        path.parent.rename(away)
        await down(lambda: store.get("u"))
        await down(lambda: store.add([event("u", "lost", 9)]))  # it would go where nobody looks
        away.rename(path.parent)
        assert plain(await eventually(lambda: store.get("u")))[0] == [("a", 1)]
        await eventually(lambda: store.add([event("u", "b", 2)]))
        assert plain(await eventually(lambda: store.get("u")))[0] == [("a", 1), ("b", 2)]
        await store.close()

    asyncio.run(story())


def test_another_file_in_its_place_is_read_from_then_on(tmp_path):
    path, new = tmp_path / "store.sqlite", tmp_path / "new.sqlite"

    async def story() -> None:
        store, other = await open_store(str(path)), await open_store(str(new))
        await eventually(lambda: store.add([event("u", "a", 1)]))
        await eventually(lambda: other.add([event("u", "b", 2)]))
        await other.close()
        for end in ("-wal", "-shm"):
            path.with_name(path.name + end).unlink()
        new.rename(path)
        assert plain(await eventually(lambda: store.get("u")))[0] == [("b", 2)]
        await store.close()

    asyncio.run(story())


@pytest.mark.parametrize("content", [b"not a database" * 100, b"SQLite format 3\0" + b"\xff" * 5_000])
def test_a_file_that_is_no_store_is_refused(tmp_path, content):
    path = tmp_path / "store.sqlite"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=str(path)):
        asyncio.run(open_store(str(path)))
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"not a database" * 100, b"SQLite format 3\0" + b"\xff" * 5_000])
def test_who_is_patient_waits_for_a_good_file_or_none(tmp_path, content):
    path, good = tmp_path / "store.sqlite", tmp_path / "good.sqlite"
    path.write_bytes(content)

    async def story() -> None:
        other = await open_store(str(good))
        await eventually(lambda: other.add([event("u", "a", 1)]))
        await other.close()
        store = await open_store(str(path), patient=True)
        with pytest.raises(StoreDown, match=rf"^store: {path}: cannot be used: .*twinspire made$"):
            await store.get("u")
        await down(lambda: store.add([event("u", "lost", 9)]))
        assert path.read_bytes() == content
        good.rename(path)
        assert plain(await eventually(lambda: store.get("u")))[0] == [("a", 1)]
        path.rename(tmp_path / "away")
        await down(lambda: store.add([event("u", "lost", 9)]))  # one that was good is never made anew
        assert not path.exists()
        await store.close()
        path.write_bytes(content)
        store = await open_store(str(path), patient=True)
        await down(store.ping)
        path.unlink()
        await eventually(lambda: store.add([event("u", "b", 2)]))
        assert plain(await eventually(lambda: store.get("u")))[0] == [("b", 2)]
        await store.close()

    asyncio.run(story())


def test_a_log_of_writes_is_not_lost_with_what_was_in_its_file(tmp_path):
    path, log = tmp_path / "store.sqlite", tmp_path / "store.sqlite-wal"
    path.write_bytes(b"")
    log.write_bytes(b"all that there was")
    with pytest.raises(StoreError, match=r"is empty, and .*-wal is not"):
        asyncio.run(open_store(str(path)))
    assert log.read_bytes() == b"all that there was"


def written(path: Path, statement: str) -> Path:
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()
    return path


def test_another_programs_file_and_other_versions_are_refused(tmp_path):
    foreign = written(tmp_path / "foreign", "CREATE TABLE events (x)")
    with pytest.raises(StoreError, match="another program's"):
        asyncio.run(open_store(str(foreign)))

    async def empty(path: Path) -> None:
        await (await open_store(str(path))).close()

    old = tmp_path / "old"
    asyncio.run(empty(old))
    written(old, "PRAGMA user_version = 7")
    with pytest.raises(StoreError, match=r"version 7, expected 1"):
        asyncio.run(open_store(str(old)))


@pytest.mark.parametrize("lost", [1, 4096, 20_000])
def test_a_file_that_lacks_its_end_is_refused(lost, tmp_path):
    path = tmp_path / "store.sqlite"

    async def fill() -> None:
        store = await open_store(str(path))
        await store.load([(f"u{n}", QueryState({}, ["a" * 100], [1])) for n in range(500)], 1)
        await store.close()

    asyncio.run(fill())
    os.truncate(path, path.stat().st_size - lost)
    with pytest.raises(StoreError, match=r"is cut off|is malformed"):
        asyncio.run(open_store(str(path)))


def test_another_process_that_closes_the_store_leaves_the_log_that_is_written_to(tmp_path):
    path = tmp_path / "store.sqlite"
    look = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); print(*c.execute('SELECT item FROM events')); c.close()"
    )

    def others() -> str:
        return subprocess.run([sys.executable, "-c", look, path], capture_output=True, text=True, check=True).stdout

    async def story() -> None:
        store = await open_store(str(path))
        await eventually(lambda: store.add([event("u", "a", 1)]))
        await asyncio.gather(*(eventually(lambda: store.get("u")) for _ in range(8)))  # every thread has opened it
        others()
        await eventually(lambda: store.add([event("u", "b", 2)]))
        assert others() == "('a',) ('b',)\n"
        await store.close()

    asyncio.run(story())


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StoreError, match="nowhere"):
        asyncio.run(open_store(str(tmp_path / "nowhere" / "store.sqlite")))


def test_after_closing_nothing_is_written(tmp_path):
    async def story() -> None:
        store = await open_store(str(tmp_path / "store.sqlite"))
        await eventually(lambda: store.add([event("u", "a", 1)]))
        await store.close()
        await down(lambda: store.add([Event("u", "b", 2)]))
        assert not list(tmp_path.glob("*-wal"))

    asyncio.run(story())

"""The store goes and comes back, and the model's folder is emptied and filled again, while lists are asked for."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench.harness import Row
from tests.faults.scene import Scene, by_source, calling, failed
from tests.redis_server import BINARY, RedisServer
from tests.serving.server.running import Running

_EVENT = {"user": "outage", "item": "i1"}


def measure(scene: Scene, times: int = 5) -> Iterator[Row]:
    """Each outage so many times."""
    if BINARY is not None:
        yield from _redis(scene, times)
    yield from _sqlite(scene, times)
    yield from _folder(scene, times)


def _redis(scene: Scene, times: int) -> Iterator[Row]:
    """Its server is killed, or stands still."""
    server = RedisServer()
    server.start()
    try:
        with scene.served("redis", f'store="{server.url}"') as (running, _):

            def go(time: int) -> None:
                server.hold() if time % 2 else server.kill()

            def come(time: int) -> None:
                server.release() if time % 2 else server.start()

            yield from _store("Redis killed or held", scene, running, times, go, come)
    finally:
        server.remove()


def _sqlite(scene: Scene, times: int) -> Iterator[Row]:
    """Its file is moved away, or locked by somebody else."""
    with scene.served("sqlite") as (running, model):
        file = model.parent / "state" / "store.sqlite"
        names = [file.with_name(file.name + suffix) for suffix in ("", "-wal", "-shm")]
        lock: list[sqlite3.Connection] = []

        def go(time: int) -> None:
            if time % 2:
                lock.append(_locked(file))
            else:
                for name in names:
                    if name.exists():
                        name.rename(f"{name}.away")

        def come(time: int) -> None:
            if time % 2:
                lock.pop().close()
            else:
                for name in reversed(names):  # the file last: who opens it sooner begins another log of writes
                    if Path(f"{name}.away").exists():
                        Path(f"{name}.away").rename(name)

        yield from _store("SQLite moved away or locked", scene, running, times, go, come)


def _store(
    what: str, scene: Scene, running: Running, times: int, go: Callable[[int], None], come: Callable[[int], None]
) -> Iterator[Row]:
    """Let a store go and come; events are stored while it is there, and lists answered all the time."""
    untold = unrecovered = 0
    under_way = calling(running, callers=2, rate=50)
    for time in range(times):
        failures = _failures(running)
        go(time)
        running.until(lambda: not _stored(running), f"{what}: the failure")
        untold += _failures(running) == failures
        come(time)
        try:
            running.until(lambda: _stored(running), f"{what}: the store")
        except AssertionError:
            unrecovered += 1
    outcome = under_way.stop()
    what = f"{what}, {times} times"
    lost, wrong = failed(outcome), scene.wrong(outcome)
    yield Row(
        f"{what}: lists that were not answered", lost, "", f"of {outcome.calls:,}: {by_source(outcome)}", "0", lost == 0
    )
    yield Row(f"{what}: lists of another version", wrong, "", "", "0", wrong == 0)
    yield Row(
        f"{what}: failures that were not counted",
        untold,
        "",
        f"{_failures(running):.0f} calls failed",
        "0",
        untold == 0,
    )
    yield Row(f"{what}: times that it was not found again", unrecovered, "", "without a restart", "0", unrecovered == 0)


def _stored(running: Running) -> bool:
    return bool(running.ask("/events", events=[_EVENT])["stored"])


def _failures(running: Running) -> float:
    return sum(running.metric("twinspire_store_failures", call=call) for call in ("get", "add", "ping"))


def _locked(file: Path) -> sqlite3.Connection:
    """A connection that writes and does not end."""
    connection = sqlite3.connect(file, isolation_level=None, timeout=30, check_same_thread=False)
    connection.execute("BEGIN EXCLUSIVE")
    return connection


def _folder(scene: Scene, times: int) -> Iterator[Row]:
    """Its versions are deleted, and the process of the one that is loaded is killed; then they are put back."""
    kept = unanswered = 0
    with scene.served("emptied") as (running, model):
        under_way = calling(running, callers=2, rate=50)
        for _ in range(times):
            for version in [path for path in model.iterdir() if path.name.isdigit()]:
                shutil.rmtree(version)
            kept += running.ask(user="u1")["source"] == "model"  # what is loaded goes on
            os.kill(running.worker(), signal.SIGKILL)
            running.until(lambda: running.ask(user="u1")["source"] == "fallback", "the fallback")
            scene.publish(model, 1)
            try:
                running.until(lambda: running.ask(user="u1")["source"] == "model", "the model")
            except AssertionError:
                unanswered += 1
        outcome = under_way.stop()
        counted = running.metric("twinspire_fallbacks", reason="worker")
    what = f"model folder emptied and its process killed, {times} times"
    lost, wrong, found = failed(outcome), scene.wrong(outcome), by_source(outcome)
    yield Row(f"{what}: lists that were not answered", lost, "", f"of {outcome.calls:,}: {found}", "0", lost == 0)
    yield Row(f"{what}: lists of another version", wrong, "", "", "0", wrong == 0)
    yield Row(f"{what}: times that the loaded version went on", kept, "", "", "all", kept == times)
    seen = found.get("fallback: worker", 0)
    yield Row(
        f"{what}: fallbacks counted",
        counted,
        "",
        f"{seen} of them in the load",
        "as answered",
        counted >= max(seen, times),
    )
    yield Row(
        f"{what}: times that the model did not come back", unanswered, "", "without a restart", "0", unanswered == 0
    )

"""A bundle in a process of its own: it answers as the session does, and what happens there stays there."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from serving.bundle import load_bundle
from serving.manifest import BundleError
from serving.runtime import RuntimeFailure
from serving.worker.process import DeadlinePassed, Worker, WorkerGone
from serving.worker.supervisor import Supervisor
from tests.serving import small

LONG = 60.0  # seconds that no call takes


def asked(rows: int = 1, seed: int = 0) -> dict[str, np.ndarray]:
    return small.inputs_of([["i20", "i21"], ["i40"], []][:rows], k=5, seed=seed)


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def eventually(holds, seconds: float = LONG) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came to be"
        await asyncio.sleep(0.01)


def on(bundle: Path, story, start=Worker.start, **settings) -> None:
    """Run a story with a worker for the bundle; afterwards its process is gone."""

    async def told() -> None:
        worker = await start(bundle, **{"connections": 2, **settings})
        pid = worker.pid
        try:
            await story(worker)
            pid = worker.pid or pid
        finally:
            await worker.close()
        assert not running(pid)

    asyncio.run(told())


@pytest.mark.parametrize("kind", ["exact", "scann"])
def test_it_answers_as_the_session_does(kind, request):
    folder = request.getfixturevalue(f"{kind}_bundle")
    bundle = load_bundle(folder)
    calls = {
        "recommend": asked(3),
        "retrieve": small.retrieving(asked(3, seed=1)),
        "similar_items": {"item": small.strings(["i20"]), **small.limits(5)},
    }

    async def story(worker: Worker) -> None:
        for signature, inputs in calls.items():
            answer, expected = await worker.run(signature, inputs, LONG), bundle.run(signature, inputs)
            assert answer.keys() == expected.keys()
            for name, value in expected.items():
                assert answer[name].dtype == value.dtype
                np.testing.assert_array_equal(answer[name], value)

    on(folder, story)


def test_many_calls_at_once_each_get_their_own_answer(exact_bundle):
    bundle = load_bundle(exact_bundle)
    requests = [asked(3, seed) for seed in range(20)]
    expected = [small.lists(bundle.run("recommend", one)) for one in requests]

    async def story(worker: Worker) -> None:
        answers = await asyncio.gather(*(worker.run("recommend", one, LONG) for one in requests))
        assert [small.lists(one) for one in answers] == expected

    on(exact_bundle, story, connections=3)


@pytest.mark.parametrize("start", [Worker.start, Supervisor.start])
def test_it_gives_the_outputs_that_are_named(exact_bundle, start):
    expected = load_bundle(exact_bundle).run("recommend", asked(2))

    async def story(worker: Worker) -> None:
        answer = await worker.run("recommend", asked(2), LONG, outputs=("count", "items"))
        assert sorted(answer) == ["count", "items"]
        np.testing.assert_array_equal(answer["items"], expected["items"])
        with pytest.raises(ValueError, match=r"found outputs \['guess'\], expected some of \['because', 'count'"):
            await worker.run("recommend", asked(2), LONG, outputs=["guess"])
        with pytest.raises(ValueError, match=r"found outputs \[\], expected some of"):
            await worker.run("recommend", asked(2), LONG, outputs=[])

    on(exact_bundle, story, start=start)


def test_what_does_not_fit_is_told_and_the_next_call_is_answered(exact_bundle):
    async def story(worker: Worker) -> None:
        good = asked()
        with pytest.raises(ValueError, match="signature 'guess': found no such name"):
            await worker.run("guess", good, LONG)
        with pytest.raises(ValueError, match="input 'k': found shape"):
            await worker.run("recommend", good | {"k": np.int32(5)}, LONG)
        with pytest.raises(ValueError, match="history: found an element that is no text"):
            await worker.run("recommend", good | {"history": np.array([[None]], object)}, LONG)
        with pytest.raises(RuntimeFailure, match=r"^INVALID_ARGUMENT: "):  # times of other histories
            await worker.run("recommend", good | {"history_time": np.zeros((1, 9), np.int64)}, LONG)
        for _ in range(3):
            assert (await worker.run("recommend", good, LONG))["count"] == 5

    on(exact_bundle, story, connections=1)


def test_a_late_answer_is_nobodys(exact_bundle):
    bundle = load_bundle(exact_bundle)
    first, second = asked(3), asked(3, seed=5)

    async def story(worker: Worker) -> None:
        os.kill(worker.pid, signal.SIGSTOP)
        for _ in range(2):  # the second one waits for its turn
            with pytest.raises(DeadlinePassed, match=r"recommend had no answer in 0.05 s"):
                await worker.run("recommend", first, 0.05)
        os.kill(worker.pid, signal.SIGCONT)
        answer = await worker.run("recommend", second, LONG)
        assert small.lists(answer) == small.lists(bundle.run("recommend", second))

    on(exact_bundle, story, connections=1)


@pytest.mark.parametrize("excluded", [0, 300_000])  # which no socket's buffer holds
def test_a_process_that_hangs_is_ended(exact_bundle, monkeypatch, excluded):
    monkeypatch.setattr("serving.worker.process._HANGS", 0.2)
    inputs = asked() | {"exclude": small.padded([["some item"] * excluded])}

    async def story(worker: Worker) -> None:
        os.kill(worker.pid, signal.SIGSTOP)
        with pytest.raises(WorkerGone, match=r"was ended: no answer in 0.2 s"):
            await worker.run("recommend", inputs, LONG)
        assert await worker.ended() == -signal.SIGKILL

    on(exact_bundle, story)


def test_what_nobody_waits_for_any_more_is_not_asked(exact_bundle):
    async def story(worker: Worker) -> None:
        os.kill(worker.pid, signal.SIGSTOP)
        calls = [asyncio.ensure_future(worker.run("recommend", asked(), 0.05)) for _ in range(40)]
        calls += [asyncio.ensure_future(worker.run("recommend", asked(), LONG)) for _ in range(2)]
        await asyncio.sleep(0.01)
        calls[-1].cancel()
        found = await asyncio.gather(*calls[:-2], calls[-1], return_exceptions=True)
        assert [type(one) for one in found] == [DeadlinePassed] * 40 + [asyncio.CancelledError]
        assert len(worker._calls) == 1
        os.kill(worker.pid, signal.SIGCONT)
        assert (await calls[-2])["count"] == 5
        assert (await worker.run("recommend", asked(), LONG))["count"] == 5

    on(exact_bundle, story, connections=1)


def test_an_answer_to_a_call_that_was_broken_off_is_nobodys(exact_bundle):
    bundle = load_bundle(exact_bundle)

    async def story(worker: Worker) -> None:
        os.kill(worker.pid, signal.SIGSTOP)
        gone = asyncio.ensure_future(worker.run("recommend", asked(3), LONG))
        await asyncio.sleep(0.01)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        os.kill(worker.pid, signal.SIGCONT)
        answer = await worker.run("recommend", asked(3, seed=5), LONG)
        assert small.lists(answer) == small.lists(bundle.run("recommend", asked(3, seed=5)))

    on(exact_bundle, story, connections=1)


def test_calls_of_a_process_that_dies_fail_at_once(exact_bundle):
    async def story(worker: Worker) -> None:
        os.kill(worker.pid, signal.SIGSTOP)
        calls = [asyncio.ensure_future(worker.run("recommend", asked(), LONG)) for _ in range(4)]  # two of them wait
        await asyncio.sleep(0.05)
        os.kill(worker.pid, signal.SIGKILL)
        found = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 10)
        assert [type(one) for one in found] == [WorkerGone] * 4
        with pytest.raises(WorkerGone):
            await worker.run("recommend", asked(), LONG)

    on(exact_bundle, story)


def test_after_a_crash_another_one_answers(exact_bundle):
    async def story(worker: Supervisor) -> None:
        before, expected = worker.pid, small.lists(await worker.run("recommend", asked(), LONG))
        os.kill(before, signal.SIGSEGV)
        await eventually(lambda: worker.pid != before)
        if not worker.ready:
            with pytest.raises(WorkerGone, match="being started again"):
                await worker.run("recommend", asked(), LONG)
        await eventually(lambda: worker.ready)
        assert small.lists(await worker.run("recommend", asked(), LONG)) == expected
        assert worker.restarts == 1

    on(exact_bundle, story, start=Supervisor.start)


@pytest.mark.parametrize("turns", range(6))  # of the event loop since it was seen to be gone
def test_closed_while_it_starts_again_nothing_is_left_running(exact_bundle, turns):
    async def told() -> None:
        worker = await Supervisor.start(exact_bundle, connections=1)
        os.kill(worker.pid, signal.SIGKILL)
        while worker.ready:
            await asyncio.sleep(0)
        for _ in range(turns):
            await asyncio.sleep(0)
        await asyncio.wait_for(worker.close(), 30)
        assert not worker.ready

    before = processes()
    asyncio.run(told())
    assert processes() <= before


def processes() -> set[str]:
    """Pids of this process's workers; other fixtures may have theirs."""
    command = ["ps", "--ppid", str(os.getpid()), "-o", "pid=,args="]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    return {line.split()[0] for line in listed if "serving.worker" in line}


def test_a_bundle_that_cannot_be_loaded_says_why(exact_bundle, tmp_path):
    broken = small.copy(exact_bundle, tmp_path / "broken")
    (broken / "saved_model.pb").write_bytes(b"nothing")
    for start in (Worker.start, Supervisor.start):
        with pytest.raises(RuntimeFailure):
            on(broken, None, start=start)
    (broken / "manifest.json").unlink()
    with pytest.raises(RuntimeFailure, match=r"FileNotFoundError.*manifest.json"):
        on(broken, None)


def test_one_that_is_not_ready_in_time_is_given_up(exact_bundle):
    with pytest.raises(WorkerGone, match=r"was not ready in 0\.01 s"):
        on(exact_bundle, None, seconds=0.01)


class Mortal:
    """A worker that lives for so long."""

    pid = -1

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def ended(self) -> int:
        await asyncio.sleep(self._seconds)
        return -11

    async def close(self, seconds: float = 5) -> None:
        """Nothing is held."""


def test_one_that_soon_dies_or_cannot_start_is_tried_less_and_less_often():
    failed = iter([ValueError("a bug"), OSError("no memory")])
    pauses: list[float] = []
    keeper: list[Supervisor] = []

    async def start() -> Mortal:
        pauses.append(keeper[0]._pause)
        if error := next(failed, None):
            raise error
        return Mortal(0.01)

    async def told() -> None:
        worker = Supervisor(start, Mortal(0.01))
        keeper.append(worker)
        await eventually(lambda: len(pauses) == 1)
        with pytest.raises(WorkerGone, match="being started again: ValueError: a bug"):
            await worker.run("recommend", {}, 1)
        await eventually(lambda: len(pauses) == 4)
        await worker.close()

    asyncio.run(told())
    assert pauses == [0.1, 0.2, 0.4, 0.8]  # before the next one


def test_what_ends_a_group_of_processes_leaves_the_worker_to_its_server(exact_bundle):
    async def story(worker: Worker) -> None:
        for one in (signal.SIGINT, signal.SIGTERM):
            os.kill(worker.pid, one)
        assert (await worker.run("recommend", asked(), LONG))["count"] == 5

    on(exact_bundle, story)


def test_the_current_folder_is_not_where_the_process_comes_from(exact_bundle, tmp_path, monkeypatch):
    (tmp_path / "serving").mkdir()
    (tmp_path / "serving" / "__init__.py").write_text("raise SystemExit('foreign')")
    monkeypatch.chdir(tmp_path)

    async def story(worker: Worker) -> None:
        assert (await worker.run("recommend", asked(), LONG))["count"] == 5

    on(Path(os.path.relpath(exact_bundle)), story)


def test_it_ends_with_the_server(exact_bundle):
    code = f"""
import asyncio, sys
from pathlib import Path
from serving.worker.process import Worker
async def main():
    worker = await Worker.start(Path({str(exact_bundle)!r}), connections=2)
    print(worker.pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""
    server = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pid = int(server.stdout.readline())
    server.kill()
    server.wait()
    server.stdout.close()
    asyncio.run(eventually(lambda: not running(pid)))


@pytest.mark.parametrize(("side", "more"), [("__main__", ("pydantic",)), ("supervisor", ())])
def test_neither_side_imports_what_is_heavy(side, more):
    code = f"import serving.worker.{side}, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"tensorflow", "pandas", "scann", "tf_keras", *more} & set(loaded)


def test_what_was_replaced_is_not_started_again():
    said = iter([BundleError("bundle: replaced"), None])
    started: list[bool] = []
    keeper: list[Supervisor] = []

    def check() -> None:
        if error := next(said, None):
            raise error

    async def start() -> Mortal:
        started.append(keeper[0].lost)
        return Mortal(60)

    async def told() -> None:
        worker = Supervisor(start, Mortal(0.01), check)
        keeper.append(worker)
        await eventually(lambda: worker.lost)
        assert started == []
        with pytest.raises(WorkerGone, match="bundle: replaced"):
            await worker.run("recommend", {}, 1)
        await eventually(lambda: worker.ready)
        assert (started, worker.lost) == ([True], False)
        await worker.close()

    asyncio.run(told())

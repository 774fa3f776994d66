"""The server's side of a process that answers for one bundle."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np

from serving.runtime import RuntimeFailure
from serving.worker.connection import Answer, Connection
from serving.worker.wire import INVALID, Arrays, pack

_HANGS = 30.0  # seconds after which a call is given up, and the process with it
_ROOT = Path(__file__).resolve().parents[2]  # what holds the package, installed or not


class WorkerGone(RuntimeError):
    """The process is not there: it died, or never came to be ready, or is being started again."""


class DeadlinePassed(RuntimeError):
    """No answer came in the time that was given."""


class Worker:
    """A process that has a bundle's graph loaded. `run` may be awaited by many at once: as many calls as it has
    connections are answered side by side, others wait for their turn.

    Its answers are those of `runtime.Session`, but not to be written to.
    """

    def __init__(self, process: asyncio.subprocess.Process, connections: list[Connection]) -> None:
        self._process, self._all = process, connections
        self._free: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()  # what ran last has its memory at hand
        self._waiting = 0
        for connection in connections:
            self._free.put_nowait(connection)
        self._calls: set[asyncio.Future[Answer]] = set()
        self._ended = asyncio.ensure_future(process.wait())

    @classmethod
    async def start(cls, folder: Path, *, connections: int, threads: int | None = None, seconds: float = 60) -> Worker:
        """A process that is ready to answer for the bundle in `folder`, a version that was verified.

        connections: calls at once; threads: within an operation, as `runtime.Session` has it.
        Raises: RuntimeFailure with what the process said of the graph; WorkerGone where it died, or was not ready in
        `seconds`.
        """
        ours, theirs = zip(*(socket.socketpair() for _ in range(connections)), strict=True)
        numbers = [one.fileno() for one in theirs]
        command = [sys.executable, "-m", "serving.worker", str(folder.resolve()), str(threads or 0), *map(str, numbers)]
        with ExitStack() as handed_over:  # their ends are closed here in any case, as the process has them
            for one in theirs:
                handed_over.enter_context(one)
            joined = [await Connection.over(one) for one in ours]
            # from the package's own folder: another one in the current folder would come first
            process = await asyncio.create_subprocess_exec(
                *command, pass_fds=numbers, stdin=asyncio.subprocess.DEVNULL, cwd=_ROOT
            )
        worker = cls(process, joined)
        try:
            await worker._ready(folder, seconds)
        except BaseException:
            await worker.close(0)
            raise
        return worker

    async def run(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        seconds: float,
        *,
        outputs: Sequence[str] | None = None,
    ) -> Arrays:
        """The answer of a signature, as `runtime.Session.run` has it; of some outputs alone where they are named.

        Raises: ValueError, RuntimeFailure as that does; WorkerGone where the process died meanwhile; DeadlinePassed
        where there is no answer in `seconds`, waiting for a turn among them.
        """
        wanted = None if outputs is None else [*outputs]
        frame = pack({"signature": signature, "outputs": wanted}, inputs)
        clock = asyncio.get_running_loop().time
        end = clock() + seconds
        connection = await self._turn(seconds)
        if connection is not None:
            call = self._ask(connection, frame)
            # not awaited itself, which whoever gives up would cancel: it ends by itself
            await asyncio.wait({call}, timeout=max(0.0, end - clock()))
            if call.done():
                return self._told(call)
        raise DeadlinePassed(f"worker: {signature} had no answer in {seconds:g} s")

    async def ended(self) -> int:
        """Wait for the process to end; its exit code, below 0 a signal."""
        return await asyncio.shield(self._ended)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    async def close(self, seconds: float = 5) -> None:
        """Let the calls under way end, for so long, and then the process."""
        if self._calls:
            await asyncio.wait(self._calls, timeout=seconds)
        for connection in self._all:
            connection.close()
        await asyncio.wait({self._ended}, timeout=seconds)
        self._kill()
        await self.ended()

    async def _ready(self, folder: Path, seconds: float) -> None:
        said = [connection.said for connection in self._all]
        await asyncio.wait(said, timeout=seconds)
        if not all(one.done() for one in said):
            raise WorkerGone(f"worker: {folder} was not ready in {seconds:g} s")
        if failed := [error for one in said if (error := one.exception())]:
            raise WorkerGone(f"worker: {folder} was never ready, the process ended ({failed[0]})")
        for one in said:
            _arrays(one.result())

    async def _turn(self, seconds: float) -> Connection | None:
        """A connection that nobody uses, or nothing where none becomes free in time. Raises: WorkerGone."""
        if not self._waiting and not self._free.empty() and not self._ended.done():
            return self._free.get_nowait()
        turn = asyncio.ensure_future(self._free.get())
        self._waiting += 1
        try:
            await asyncio.wait([turn, self._ended], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            if not turn.cancel():
                self._free.put_nowait(turn.result())
            raise
        finally:
            self._waiting -= 1
        if self._ended.done():
            turn.cancel()
            raise WorkerGone(f"worker: process {self.pid} ended with {self._ended.result()}")
        return None if turn.cancel() else turn.result()

    def _ask(self, connection: Connection, frame: bytes) -> asyncio.Future[Answer]:
        call = connection.ask(frame, _HANGS)
        self._calls.add(call)
        call.add_done_callback(partial(self._answered, connection))
        return call

    def _answered(self, connection: Connection, call: asyncio.Future[Answer]) -> None:
        self._calls.discard(call)
        if call.exception() is None:
            self._free.put_nowait(connection)
        else:
            self._kill()

    def _told(self, call: asyncio.Future[Answer]) -> Arrays:
        try:
            return _arrays(call.result())
        except ConnectionError as error:
            raise WorkerGone(f"worker: process {self.pid} was ended: {error}") from None

    def _kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()


def _arrays(answer: Answer) -> Arrays:
    """The arrays of an answer. Raises: what it says instead."""
    said, arrays = answer
    if "error" not in said:
        return arrays
    kind, code, message = said["error"]
    raise ValueError(message) if kind == INVALID else RuntimeFailure(code, message)

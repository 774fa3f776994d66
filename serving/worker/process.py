"""The server's side of a process that answers for one bundle."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from serving.runtime import RuntimeFailure
from serving.worker.wire import SIZES, Arrays, pack, unpack

_HANGS = 30.0  # seconds after which a call is given up, and the process with it
_ROOT = Path(__file__).resolve().parents[2]  # what holds the package, installed or not


class WorkerGone(RuntimeError):
    """The process is not there: it died, or never came to be ready, or is being started again."""


class DeadlinePassed(RuntimeError):
    """No answer came in the time that was given."""


class _Connection(NamedTuple):
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class Worker:
    """A process that has a bundle's graph loaded. `run` may be awaited by many at once: as many calls as it has
    connections are answered side by side, others wait for their turn.

    Its answers are those of `runtime.Session`.
    """

    def __init__(self, process: asyncio.subprocess.Process, connections: list[_Connection]) -> None:
        self._process, self._all = process, connections
        self._free: asyncio.LifoQueue[_Connection] = asyncio.LifoQueue()  # what ran last has its memory at hand
        for connection in connections:
            self._free.put_nowait(connection)
        self._calls: set[asyncio.Task[Arrays]] = set()
        self._ended = asyncio.ensure_future(process.wait())

    @classmethod
    async def start(cls, folder: Path, *, connections: int, threads: int | None = None, seconds: float = 60) -> Worker:
        """A process that is ready to answer for the bundle in `folder`, a version that was verified.

        connections: calls at once; threads: within an operation, as `runtime.Session` has it.
        Raises: RuntimeFailure with what the process said of the graph; WorkerGone where it died, or was not ready in
        `seconds`.
        """
        pairs = [socket.socketpair() for _ in range(connections)]
        ours, theirs = zip(*pairs, strict=True)
        numbers = [one.fileno() for one in theirs]
        command = [sys.executable, "-m", "serving.worker", str(folder), str(threads or 0), *map(str, numbers)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(_ROOT), _path()]))}
        process = await asyncio.create_subprocess_exec(
            *command, pass_fds=numbers, stdin=asyncio.subprocess.DEVNULL, env=environment
        )
        for one in theirs:
            one.close()
        worker = cls(process, [_Connection(*await asyncio.open_connection(sock=one)) for one in ours])
        try:
            await asyncio.wait_for(asyncio.gather(*map(_receive, worker._all)), seconds)
        except asyncio.TimeoutError:
            await worker.close()
            raise WorkerGone(f"worker: {folder} was not ready in {seconds:g} s") from None
        except BaseException:
            await worker.close()
            raise
        return worker

    async def run(self, signature: str, inputs: Mapping[str, np.ndarray], seconds: float) -> Arrays:
        """The answer of a signature, as `runtime.Session.run` has it.

        Raises: ValueError, RuntimeFailure as that does; WorkerGone where the process died meanwhile; DeadlinePassed
        where there is no answer in `seconds`, waiting for a turn among them.
        """
        call = asyncio.ensure_future(self._call(pack({"signature": signature}, inputs)))
        self._calls.add(call)
        call.add_done_callback(self._forget)
        try:
            # whoever gives up leaves the call to end by itself: its connection is of use once the answer was read
            return await asyncio.wait_for(asyncio.shield(call), seconds)
        except asyncio.TimeoutError:
            raise DeadlinePassed(f"worker: {signature} had no answer in {seconds:g} s") from None

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
            connection.writer.close()
        try:
            await asyncio.wait_for(asyncio.shield(self._ended), seconds)
        except asyncio.TimeoutError:
            self._process.kill()
            await self._ended

    async def _call(self, frame: bytes) -> Arrays:
        connection = await self._free.get()
        try:
            connection.writer.write(frame)
            await connection.writer.drain()
            return await asyncio.wait_for(_receive(connection), _HANGS)
        except asyncio.TimeoutError:
            self._process.kill()
            raise WorkerGone(f"worker: process {self.pid} was stopped: no answer in {_HANGS:g} s") from None
        except ConnectionError as error:
            raise WorkerGone(f"worker: process {self.pid} is gone ({error})") from None
        finally:
            self._free.put_nowait(connection)  # one that is broken tells whoever takes it next

    def _forget(self, call: asyncio.Task[Arrays]) -> None:
        self._calls.discard(call)
        if not call.cancelled():
            call.exception()  # seen: nobody may wait for it any more


async def _receive(connection: _Connection) -> Arrays:
    try:
        head, body = SIZES.unpack(await connection.reader.readexactly(SIZES.size))
        said, arrays = unpack(await connection.reader.readexactly(head), await connection.reader.readexactly(body))
    except (asyncio.IncompleteReadError, ConnectionError):
        raise WorkerGone("worker: the process ended before it answered") from None
    if "error" not in said:
        return arrays
    kind, code, message = said["error"]
    raise ValueError(message) if kind == "invalid" else RuntimeFailure(code, message)


def _path() -> str:
    return os.environ.get("PYTHONPATH", "")

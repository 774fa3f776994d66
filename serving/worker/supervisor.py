"""Keeps one process answering: another one is started when it dies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from serving.runtime import RuntimeFailure
from serving.worker.process import Worker, WorkerGone
from serving.worker.wire import Arrays

_FIRST, _LONGEST = 0.05, 5.0  # seconds before another start after one that failed, doubled each time


class Supervisor:
    """`Worker` that comes back. While there is no process every call fails at once with `WorkerGone`."""

    def __init__(self, start: Callable[[], Awaitable[Worker]], worker: Worker) -> None:
        self._start = start
        self._worker: Worker | None = worker
        self.restarts = 0
        self._watch = asyncio.ensure_future(self._keep())

    @classmethod
    async def start(cls, folder: Path, *, connections: int, threads: int | None = None) -> Supervisor:
        """Like `Worker.start`, and with its errors: a bundle that never was ready is not tried again."""

        begin = partial(Worker.start, folder, connections=connections, threads=threads)
        return cls(begin, await begin())

    @property
    def ready(self) -> bool:
        """Whether a call made now has a process to answer it."""
        return self._worker is not None

    @property
    def pid(self) -> int | None:
        """Of the process; None while there is none."""
        return self._worker.pid if self._worker else None

    async def run(self, signature: str, inputs: Mapping[str, np.ndarray], seconds: float) -> Arrays:
        """See `Worker.run`."""
        if self._worker is None:
            raise WorkerGone("worker: it is being started again")
        return await self._worker.run(signature, inputs, seconds)

    async def close(self) -> None:
        """End the process, and start no other."""
        self._watch.cancel()
        await asyncio.wait({self._watch})
        if self._worker:
            await self._worker.close()

    async def _keep(self) -> None:
        pause = _FIRST
        while True:
            if self._worker is not None:
                await self._worker.ended()
                dead, self._worker, self.restarts = self._worker, None, self.restarts + 1
                await dead.close()
            try:
                self._worker, pause = await self._start(), _FIRST
            except (RuntimeFailure, WorkerGone, OSError):
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST)

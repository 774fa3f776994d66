"""Keeps one process answering: another one is started when it dies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from serving.manifest import BundleError
from serving.worker.process import Worker, WorkerGone
from serving.worker.wire import Arrays

_FIRST, _LONGEST = 0.05, 5.0  # seconds before another start, doubled each time that one fails or soon dies
_SOON = 10.0  # seconds


class Supervisor:
    """`Worker` that comes back. While there is no process calls fail at once with `WorkerGone`, which says why."""

    def __init__(
        self, start: Callable[[], Awaitable[Worker]], worker: Worker, check: Callable[[], None] = lambda: None
    ) -> None:
        self._start, self._check = start, check
        self._worker: Worker | None = worker
        self._closing, self._pause, self._why = False, _FIRST, ""
        self.restarts = 0
        self.lost = False  # whether what is to be started again is not what was started
        self._watch = asyncio.ensure_future(self._keep(worker))

    @classmethod
    async def start(
        cls,
        folder: Path,
        *,
        connections: int,
        threads: int | None = None,
        check: Callable[[], None] = lambda: None,
        warm: Callable[[Worker], Awaitable[None]] | None = None,
    ) -> Supervisor:
        """Like `Worker.start`, and with its errors: a bundle that never was ready is not tried again.

        check: called before another start, in a thread; its BundleError says that the folder holds something else by
        now, which is `lost` and not started. warm: has a process, this one or another, answer before others ask it, as
        TensorFlow prepares a graph at its first call; its errors are those of the start.
        """

        async def begin() -> Worker:
            worker = await Worker.start(folder, connections=connections, threads=threads)
            try:
                if warm is not None:
                    await warm(worker)
            except BaseException:
                await worker.close(0)
                raise
            return worker

        return cls(begin, await begin(), check)

    @property
    def ready(self) -> bool:
        """Whether a call made now has a process to answer it."""
        return self._worker is not None

    @property
    def pid(self) -> int | None:
        """Of the process; None while there is none."""
        return self._worker.pid if self._worker else None

    async def run(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        seconds: float,
        *,
        outputs: Sequence[str] | None = None,
    ) -> Arrays:
        """See `Worker.run`."""
        if self._worker is None:
            raise WorkerGone(f"worker: it is being started again: {self._why}")
        return await self._worker.run(signature, inputs, seconds, outputs=outputs)

    async def close(self) -> None:
        """End the process, and start no other."""
        self._closing = True
        self._watch.cancel()
        await asyncio.wait({self._watch})
        if self._worker:
            await self._worker.close()
            self._worker = None

    async def _keep(self, worker: Worker) -> None:
        while not self._closing:  # asked each time: before Python 3.12 a wait that just ended forgets a cancellation
            born = time.monotonic()
            code = await worker.ended()
            self._worker, self.restarts, self._why = None, self.restarts + 1, f"it ended with {code}"
            await worker.close()
            if time.monotonic() - born > _SOON:
                self._pause = _FIRST
            worker = await self._another()

    async def _another(self) -> Worker:
        while True:
            await asyncio.sleep(self._pause)
            self._pause = min(2 * self._pause, _LONGEST)
            try:
                await asyncio.to_thread(self._check)
                self._worker = await self._start()
                self.lost = False
                return self._worker
            except BundleError as error:
                self.lost, self._why = True, str(error)
            except Exception as error:  # whatever it is, there is nothing to do but to try again
                self._why = f"{type(error).__name__}: {error}"
            if self._closing:
                raise asyncio.CancelledError

"""One loaded version: what it says of itself, what it knows of queries and items, and a process that answers for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from configs.serving import Runtime
from serving.bundle import Bundle
from serving.golden import Golden, read_golden
from serving.manifest import BundleError, stamp, verify
from serving.popular import POPULAR, Popular, read_popular
from serving.server.batching import Batcher
from serving.state import STATE, State
from serving.worker.process import Worker
from serving.worker.supervisor import Supervisor
from serving.worker.wire import Arrays

_GOLDEN = 30.0  # seconds for a golden request: the first call of a graph takes longer than others


class Version:
    """A version that passed its golden requests. `run` answers one request or several, `run_one` joins requests of one
    row that come at the same time."""

    def __init__(self, bundle: Bundle, popular: Popular | None, worker: Supervisor, runtime: Runtime) -> None:
        self.number = int(bundle.folder.name)
        self.bundle, self.popular = bundle, popular
        self.searched = State(bundle.folder / STATE)  # a long search must not hold up those who are asked for lists
        self._worker = worker
        self._batcher = Batcher(worker.run, runtime.batch)
        self._users = 0
        self._unused = asyncio.Event()
        self._unused.set()

    @classmethod
    async def load(cls, folder: Path, runtime: Runtime) -> Version:
        """Verify a version, start its process and ask its golden requests.

        Raises: BundleError for a folder that is damaged or answers otherwise; RuntimeFailure for a graph that cannot be
        loaded; WorkerGone where its process died.
        """
        bundle, popular, check = await asyncio.to_thread(_opened, folder)
        golden = await asyncio.to_thread(read_golden, folder)
        worker = await Supervisor.start(
            folder,
            connections=runtime.calls,
            threads=runtime.threads,
            check=check,
            warm=partial(_warm, bundle=bundle, golden=golden),
        )
        return cls(bundle, popular, worker, runtime)

    @property
    def manifest(self) -> Mapping[str, Any]:
        """What the bundle says of itself."""
        return self.bundle.manifest

    @property
    def ready(self) -> bool:
        """Whether its process is there."""
        return self._worker.ready

    @property
    def lost(self) -> bool:
        """Whether its process died, and its folder holds something else by now."""
        return self._worker.lost

    @property
    def restarts(self) -> int:
        """How often its process was started again."""
        return self._worker.restarts

    @property
    def pid(self) -> int | None:
        """Of its process; None while there is none."""
        return self._worker.pid

    async def run(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        seconds: float,
        outputs: Sequence[str] | None = None,
    ) -> Arrays:
        """See `Worker.run`."""
        with self.in_use():
            return await self._worker.run(signature, inputs, seconds, outputs=outputs)

    async def run_one(self, signature: str, inputs: Mapping[str, np.ndarray], seconds: float) -> Arrays:
        """The same for inputs of one row, which may be joined with those of others."""
        with self.in_use():
            return await self._batcher.run(signature, inputs, seconds)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """While this lasts the version is not retired."""
        self._users += 1
        self._unused.clear()
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._unused.set()

    async def retire(self, seconds: float) -> None:
        """Let requests under way end, for at most so long, and then the process."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._unused.wait(), seconds)
        await self._worker.close()
        self.bundle.state.close()
        self.searched.close()


async def _warm(worker: Worker, bundle: Bundle, golden: Sequence[Golden]) -> None:
    """Ask what clients ask, as TensorFlow prepares a signature at its first call: lists, which must be those that were
    recorded, and neighbours meanwhile. Raises: BundleError; what `Worker.run` raises."""

    async def lists() -> None:
        for one in golden:
            one.hold(bundle.folder, await worker.run("recommend", one.inputs, _GOLDEN))

    async def neighbours() -> None:
        if "similar_items" in bundle.manifest["signatures"]:
            item = np.array([golden[0].items[0] if golden[0].items else ""], object)
            await worker.run("similar_items", {"item": item} | bundle.inputs.limits(1), _GOLDEN)

    await asyncio.gather(lists(), neighbours())


def _opened(folder: Path) -> tuple[Bundle, Popular | None, Callable[[], None]]:
    last = stamp(folder), True
    bundle = Bundle(folder, verify(folder))

    def check() -> None:
        """Raises: BundleError where the folder holds something else than what was verified. It is read once for each
        change of it, not at each start that is tried."""
        nonlocal last
        if (now := stamp(folder)) != last[0]:
            last = now, _is(folder, bundle)
        if not last[1]:
            raise BundleError(f"bundle: {folder} was replaced by another one, or damaged")

    return bundle, read_popular(folder / POPULAR), check


def _is(folder: Path, bundle: Bundle) -> bool:
    try:
        return bool(verify(folder)["id"] == bundle.manifest["id"])
    except BundleError:
        return False

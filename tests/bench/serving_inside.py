"""What a list costs without a server: `python -m tests.bench.serving_inside session|hop BUNDLE`.

`session` runs the graph in this process, through the C loader; `hop` in a process of its own, as the server does, asked
from an event loop. Both take the inputs that the server makes of the same requests.
"""

from __future__ import annotations

import asyncio
import sys
import time
from itertools import cycle
from pathlib import Path

import numpy as np
import uvloop

from configs.serving import Runtime
from serving.bundle import Bundle
from serving.manifest import manifest_of
from serving.runtime import Session, libraries_of
from serving.worker.process import Worker
from tests.bench.processes import take_turns
from tests.bench.serving_requests import USERS, K
from tests.bench.untrained import END

Inputs = dict[str, np.ndarray]
_RUNTIME, _LONG = Runtime(), 60.0  # as the server has it; seconds that no call takes


def inputs_of(bundle: Bundle) -> list[Inputs]:
    """The requests of `serving_requests`, as the graph takes them."""
    rest = bundle.inputs.limits(K) | bundle.inputs.reranking()
    return [bundle.request(f"u{user}", time=END) | rest for user in range(USERS)]


def in_process(bundle: Bundle) -> None:
    """Answer by the session."""
    said, requests = bundle.manifest, cycle(inputs_of(bundle))
    libraries = libraries_of(said["searcher"])
    session = Session(bundle.folder, said["signatures"], op_libraries=libraries, threads=_RUNTIME.threads)

    def timed(calls: int) -> list[float]:
        taken = []
        for _ in range(calls):
            inputs, started = next(requests), time.perf_counter()
            session.run("recommend", inputs)
            taken.append(time.perf_counter() - started)
        return taken

    take_turns(timed)


def over_a_hop(bundle: Bundle) -> None:
    """Answer by a process."""
    requests, loop = cycle(inputs_of(bundle)), uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    worker = loop.run_until_complete(Worker.start(bundle.folder, connections=_RUNTIME.calls, threads=_RUNTIME.threads))

    async def several(calls: int) -> list[float]:
        taken = []
        for _ in range(calls):
            inputs, started = next(requests), time.perf_counter()
            await worker.run("recommend", inputs, _LONG)
            taken.append(time.perf_counter() - started)
        return taken

    take_turns(lambda calls: loop.run_until_complete(several(calls)))
    loop.run_until_complete(worker.close())


if __name__ == "__main__":
    kind, folder = sys.argv[1], Path(sys.argv[2])
    {"session": in_process, "hop": over_a_hop}[kind](Bundle(folder, manifest_of(folder)))

"""Bundles behind TF Serving's interfaces, as a server has them: real worker processes, real sockets, loopback only."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import numpy as np
import uvicorn
from fastapi import FastAPI

from serving.server.metrics import Metrics
from serving.tfserving.grpc import start
from serving.tfserving.models import NotServed, VersionState
from serving.tfserving.rest import router
from serving.worker.supervisor import Supervisor

Result = TypeVar("Result")
LONG = 60.0  # seconds that no call takes


class Loaded:
    """A version in a process of its own."""

    def __init__(self, number: int, manifest: Mapping[str, Any], worker: Supervisor) -> None:
        self.number, self.manifest, self.worker = number, manifest, worker
        self.asked: list[Sequence[str] | None] = []  # outputs of each call

    async def run(
        self, signature: str, inputs: Mapping[str, np.ndarray], seconds: float, outputs: Sequence[str] | None = None
    ) -> dict[str, np.ndarray]:
        self.asked.append(outputs)
        return await self.worker.run(signature, inputs, seconds, outputs=outputs)


class Fixed:
    """Versions that stay as they are; the newest one answers."""

    def __init__(self, name: str, versions: Sequence[Loaded], labels: Mapping[str, int]) -> None:
        self.name, self.labels = name, labels
        self.versions = {one.number: one for one in versions}

    def find(self, number: int | None = None, label: str | None = None) -> Loaded:
        if label is not None:
            number = self.labels.get(label)
        if number is None and self.versions:
            number = max(self.versions)
        if number not in self.versions:
            raise NotServed(f"{self.name}: no version {number}")
        return self.versions[number]

    def states(self) -> list[VersionState]:
        return [VersionState(number, "AVAILABLE", "OK", "") for number in self.versions]


@dataclass(frozen=True)
class Live:
    """A server that runs in a thread of its own."""

    models: Fixed
    url: str
    address: str  # of gRPC
    loop: asyncio.AbstractEventLoop

    def http(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """One request; a body that is no bytes is sent as JSON."""
        content = body if isinstance(body, (bytes, str)) or body is None else json.dumps(body)
        return httpx.request(method, self.url + path, content=content, timeout=2 * LONG)

    def within(self, story: Callable[[], Awaitable[Result]]) -> Result:
        """Run something in the server's own loop."""
        return asyncio.run_coroutine_threadsafe(story(), self.loop).result(2 * LONG)


@contextmanager
def serve(name: str, folders: Mapping[int, Path], labels: Mapping[str, int]) -> Iterator[Live]:
    """A model of that name for as long as the block runs."""
    ready, ended = threading.Event(), threading.Event()
    found: list[Live | BaseException] = []

    def run() -> None:
        try:
            asyncio.run(_serve(name, folders, labels, found, ready, ended))
        except BaseException as error:
            found.insert(0, error)
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(120)
        if isinstance(found[0], BaseException):
            raise found[0]
        yield found[0]
    finally:
        ended.set()
        thread.join()


async def _serve(name, folders, labels, found, ready, ended) -> None:
    versions = [await _load(number, folder) for number, folder in folders.items()]
    models = Fixed(name, versions, labels)
    app, address = FastAPI(), f"127.0.0.1:{free_port()}"
    app.include_router(router(models, LONG))
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    over_http = asyncio.ensure_future(server.serve(sockets=[listening]))
    over_grpc = await start(models, Metrics(), address, LONG)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    found.append(Live(models, url, address, asyncio.get_running_loop()))
    ready.set()
    while not ended.is_set():
        await asyncio.sleep(0.05)
    server.should_exit = True
    await over_http
    await over_grpc.stop(0)
    for one in versions:
        await one.worker.close()


async def _load(number: int, folder: Path) -> Loaded:
    manifest = json.loads((folder / "manifest.json").read_text())
    return Loaded(number, manifest, await Supervisor.start(folder, connections=2))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]

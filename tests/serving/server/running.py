"""A real server in a process of its own, for tests that ask it over HTTP."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

COMMAND = str(Path(sys.executable).with_name("twinspire"))
SECONDS = 60.0  # nothing here takes so long


class Running:
    """A server and a client of it."""

    def __init__(self, process: subprocess.Popen[str], address: str, said: list[str]) -> None:
        self.process, self.address, self.said = process, address, said
        self.client = httpx.Client(base_url=address, timeout=SECONDS)

    def ask(self, path: str = "/recommend", **body: Any) -> dict[str, Any]:
        """The answer to a body, which must be 200."""
        answer = self.client.post(path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ids(self, **body: Any) -> list[str]:
        return [one["item"] for one in self.ask(**body)["items"]]

    def status(self) -> dict[str, Any]:
        return self.client.get("/status").json()

    def metric(self, name: str, **labels: str) -> float:
        """The value of a counter or gauge; 0 before it was first counted."""
        wanted = "".join(f'(?=.*{key}="{value}")' for key, value in labels.items())
        found = re.search(rf"^{name}(?:_total)?(?:{{{wanted}.*}})? (\S+)$", self.client.get("/metrics").text, re.M)
        return float(found[1]) if found else 0.0

    def worker(self) -> int:
        """The pid of the stable version's process."""
        status = self.status()
        stable = status["labels"]["stable"]
        return next(one["pid"] for one in status["processes"] if one["version"] == stable)

    def until(self, holds: Callable[[], bool], what: str = "it") -> None:
        """Wait until something holds."""
        end = time.monotonic() + SECONDS
        while not holds():
            assert time.monotonic() < end, f"{what} never came to be\n" + "".join(self.said[-20:])
            time.sleep(0.02)

    def ready(self, version: int | None = None) -> None:
        """Wait until a version answers, or this one."""

        def is_ready() -> bool:
            said = self.client.get("/readyz").json()
            return said["ready"] and version in (None, said["version"])

        self.until(is_ready, f"version {version or ''}")


@contextmanager
def serving(model: Path, state: Path, *settings: str, ready: bool = True, port: int = 0) -> Iterator[Running]:
    """A server of a model's folder; settings as `--set` has them; any free port by default."""
    usual = ("poll=0.05", f"state={state}", f'logs.folder="{state / "logs"}"', "limits.deadline=10")
    options = [part for one in (*usual, *settings) for part in ("--set", one)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [COMMAND, "serve", str(model), "--port", str(port), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    said: list[str] = []
    address = _address(process, said)
    reader = threading.Thread(target=lambda: said.extend(process.stdout or ()), daemon=True)
    reader.start()
    running = Running(process, address, said)
    try:
        if ready:
            running.ready()
        yield running
    finally:
        running.client.close()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(SECONDS)
        finally:
            process.kill()
            reader.join(SECONDS)


def _address(process: subprocess.Popen[str], said: list[str]) -> str:
    for line in process.stdout or ():
        said.append(line)
        if line.startswith("page:"):
            return line.split()[1].rstrip("/")
    raise AssertionError("the server ended: " + "".join(said))

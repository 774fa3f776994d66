"""Requests that nobody would send: drawn from the server's own description, and from beyond it."""

from __future__ import annotations

import math
import random
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable

from tests.bench.harness import Row
from tests.bench.processes import resident
from tests.faults.fuzz_inputs import PREDICTIONS, REQUESTS, raw
from tests.faults.scene import Scene
from tests.serving.server.running import Running

GROWTH = 0.10
_DESCRIBED, _PREDICTIONS, _REQUESTS, _RAW = 0.4, 0.3, 0.2, 0.1  # of all requests
_SECONDS = 30.0


class Sent:
    """What was answered to all that was sent."""

    def __init__(self, running: Running) -> None:
        self._client = httpx.Client(base_url=running.address, timeout=_SECONDS)
        self._address = httpx.URL(running.address)
        self.statuses: Counter[str] = Counter()
        self.wrong: list[str] = []

    def request(self, method: str, path: str, **said: Any) -> None:
        """Send one, and count its answer."""
        words = f"{method} {path} {said}"
        try:
            answer = self._client.send(self._client.build_request(method, path, **said))
        except httpx.TransportError as error:
            self._count(type(error).__name__, words)
        except (httpx.InvalidURL, UnicodeError):  # what a client cannot say is not sent
            pass
        else:
            self._count(str(answer.status_code), f"{words}: {answer.text}")

    def any(self, said: tuple[str, str, bytes, str]) -> None:
        """Send one of `REQUESTS` or `PREDICTIONS`."""
        method, path, body, kind = said
        self.request(method, path, content=body, headers={"Content-Type": kind})

    def raw(self, message: bytes) -> None:
        """Send bytes; a connection that is closed is an answer."""
        answer = b""
        where = self._address.host, self._address.port or 80
        with suppress(ConnectionError), socket.create_connection(where, _SECONDS) as connection:
            connection.sendall(message)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(100)
        said = answer[9:12].decode("ascii", "replace") if answer.startswith(b"HTTP/1.1 ") else "closed"
        self._count(said, f"{message[:200]!r}: {answer!r}")

    def _count(self, said: str, words: str) -> None:
        self.statuses[said] += 1
        if not said.startswith(("1", "2", "3", "4", "closed")):
            self.wrong.append(f"{said}: {words[:500]}")

    @property
    def total(self) -> int:
        """How many were sent."""
        return sum(self.statuses.values())


def measure(scene: Scene, requests: int = 10_000, first: int = 0) -> Iterator[Row]:
    """Send so many; first: the seed of what is drawn."""
    with scene.served("fuzz") as (running, _):
        expected, worker = running.ids(user="u1", k=5, time=1), running.worker()
        sent = Sent(running)
        _send(running, sent, max(requests // 5, 1), first)  # what is kept after these is kept for good
        before = [resident(pid) for pid in (running.process.pid, worker)]
        for number in range(1, 5):
            _send(running, sent, requests // 5, first + number)
        while (left := requests - sent.total) > 0:  # not every path can be asked against its description
            number += 1
            _draw(REQUESTS, left, first + number, sent.any)
        lives = running.process.poll() is None and running.worker() == worker
        after = [resident(pid) for pid in (running.process.pid, running.worker())]
        same = running.ids(user="u1", k=5, time=1) == expected
    for words in sent.wrong[:20]:
        print(words)
    counts = ", ".join(f"{count:,} x {status}" for status, count in sorted(sent.statuses.items()))
    bad = len(sent.wrong)
    what = f"{sent.total:,} requests"
    yield Row(f"{what}: answered 5xx, or not", bad, "", counts, "0", bad == 0)
    yield Row(f"{what}: server and worker are those from before", lives, "", "", "1", lives)
    yield Row(f"{what}: a list is what it was", same, "", "", "1", same)
    growth = sum(after) / sum(before) - 1
    parts = ", ".join(
        f"{name} {a / 2**20:.0f} to {b / 2**20:.0f} MiB"
        for name, a, b in zip(("server", "worker"), before, after, strict=True)
    )
    yield Row(
        f"{what}: memory grew by", growth, "", f"in the last four fifths: {parts}", f"under {GROWTH}", growth < GROWTH
    )


def _send(running: Running, sent: Sent, requests: int, number: int) -> None:
    """So many requests of all kinds."""
    _described(running, sent, requests * _DESCRIBED, number)
    _draw(PREDICTIONS, requests * _PREDICTIONS, number, sent.any)
    _draw(REQUESTS, requests * _REQUESTS, number, sent.any)
    rng = random.Random(number)
    for _ in range(math.ceil(requests * _RAW)):
        sent.raw(raw(rng))


def _described(running: Running, sent: Sent, requests: float, number: int) -> None:
    """What the description allows, and what it does not."""
    schema = schemathesis.openapi.from_url(f"{running.address}/openapi.json")
    operations = [one.ok() for one in schema.get_all_operations()]
    modes = [*schemathesis.GenerationMode]

    def send(case: schemathesis.Case) -> None:
        said = case.as_transport_kwargs(base_url=running.address)
        known = {key: value for key, value in said.items() if key in ("json", "data", "headers", "params")}
        sent.request(said["method"], said["url"], **known)

    for operation in operations:
        for mode in modes:
            strategy = operation.as_strategy(generation_mode=mode)
            with suppress(Unsatisfiable):  # nothing that it could do against the description
                _draw(strategy, requests / len(operations) / len(modes), number, send)


def _draw(strategy: st.SearchStrategy[Any], examples: float, number: int, send: Callable[[Any], None]) -> None:
    """Draw so many, and send each."""

    @seed(number)
    @settings(
        max_examples=math.ceil(examples),
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
    )
    @given(strategy)
    def each(one: Any) -> None:
        send(one)

    each()

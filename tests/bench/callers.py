"""A bounded load over HTTP keep-alive, from a process of its own: `python -m tests.bench.callers`.

So many callers send one request after the other, each as soon as it has its answer, or at a rate: then a request's time
counts from the moment that it was due, so that a server which falls behind is seen to. Sockets and a few lines of
HTTP/1.1, as a client library costs more than what it measures.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from urllib.parse import urlsplit

import numpy as np
import uvloop

LOST = 0  # the status of a request whose connection broke


@dataclass(frozen=True)
class Load:
    """What is sent: bodies by turns to one path.

    calls, seconds: it ends after so many in all, or so long; rate: requests a second over all callers; keep: whether
    to tell answers apart by what they say.
    """

    address: str
    bodies: Sequence[str]
    path: str = "/recommend"
    callers: int = 1
    calls: int | None = None
    seconds: float = 600.0
    rate: float | None = None
    keep: bool = False


@dataclass
class Outcome:
    """What came back.

    taken, codes: seconds and status of each answer, in the order of their ends; answers: of those kept, how many said
    so, by (number of the body, version, source, reason, items joined by a space); wall, cpu: seconds of the load, and
    of its own processor time.
    """

    taken: np.ndarray
    codes: np.ndarray
    wall: float
    cpu: float
    answers: Counter[tuple[int, int, str, str, str]] = field(default_factory=Counter)

    @property
    def calls(self) -> int:
        """How many were sent."""
        return len(self.codes)

    @property
    def statuses(self) -> dict[int, int]:
        """How many were answered with each."""
        return dict(Counter(self.codes.tolist()))

    @property
    def throughput(self) -> float:
        """Answers a second."""
        return self.calls / self.wall

    def at(self, quantile: float) -> float:
        """Milliseconds in which that share of the requests that were answered had their answer."""
        return float(np.quantile(self.taken[self.codes == 200], quantile)) * 1e3


class Calling:
    """A load that is under way in its own process."""

    def __init__(self, load: Load) -> None:
        command = [sys.executable, "-m", "tests.bench.callers"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(load)) + "\n")
        self._process.stdin.flush()

    def stop(self) -> Outcome:
        """End it; the requests under way are waited for."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self.outcome()

    def outcome(self) -> Outcome:
        """Wait for its end. Raises: RuntimeError where it failed."""
        assert self._process.stdout is not None
        said = self._process.stdout.read()
        self._process.stdout.close()
        if self._process.wait():
            raise RuntimeError("the load could not be made; what it said stands above")
        found = json.loads(said)
        return Outcome(
            np.array(found["taken"]),
            np.array(found["codes"], int),
            found["wall"],
            found["cpu"],
            Counter({tuple(one): count for one, count in found["answers"]}),
        )


def call(load: Load) -> Outcome:
    """Make a load, and wait for its end."""
    return Calling(load).outcome()


class _Callers:
    def __init__(self, load: Load) -> None:
        self._load = load
        where = urlsplit(load.address)
        self._host, self._port = where.hostname or "", where.port or 80
        head = f"POST {load.path} HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Type: application/json\r\n"
        self._frames = [f"{head}Content-Length: {len(body.encode())}\r\n\r\n{body}".encode() for body in load.bodies]
        self._sent, self._ended = 0, asyncio.Event()
        self.taken: list[float] = []
        self.codes: list[int] = []
        self.answers: Counter[tuple[int, int, str, str, str]] = Counter()

    async def run(self) -> None:
        stopped = asyncio.ensure_future(_stdin_closed())
        stopped.add_done_callback(lambda _: self._ended.set())
        asyncio.get_running_loop().call_later(self._load.seconds, self._ended.set)
        self._began = time.perf_counter()
        await asyncio.gather(*(self._caller() for _ in range(self._load.callers)))
        stopped.cancel()

    async def _caller(self) -> None:
        stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not self._ended.is_set() and self._sent != self._load.calls:
            number, due = self._sent, time.perf_counter()
            self._sent += 1
            if self._load.rate is not None:
                due = self._began + number / self._load.rate
                await self._until(due)
                if self._ended.is_set():
                    break
            try:
                stream = stream or await asyncio.open_connection(self._host, self._port)
                body = number % len(self._frames)
                stream[1].write(self._frames[body])
                status, answer = await _answer(stream[0])
            except (OSError, asyncio.IncompleteReadError):
                if stream:
                    stream[1].close()
                stream, status, answer = None, LOST, b""
            self.taken.append(time.perf_counter() - due)
            self.codes.append(status)
            if self._load.keep and status == 200:
                self._keep(body, answer)
        if stream:
            stream[1].close()

    async def _until(self, moment: float) -> None:
        left = moment - time.perf_counter()
        if left > 0:
            await asyncio.sleep(left)

    def _keep(self, body: int, answer: bytes) -> None:
        said = json.loads(answer)
        items = " ".join(one["item"] for one in said["items"])
        self.answers[body, said["version"], said["source"], said.get("reason", ""), items] += 1


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    place = head.find(b"content-length: ") + len(b"content-length: ")
    return int(head[9:12]), await reader.readexactly(int(head[place : head.index(b"\r\n", place)]))


async def _stdin_closed() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


async def _main() -> None:
    callers = _Callers(Load(**json.loads(sys.stdin.readline())))
    started, used = time.perf_counter(), time.process_time()
    await callers.run()
    found = {
        "wall": time.perf_counter() - started,
        "cpu": time.process_time() - used,
        "taken": callers.taken,
        "codes": callers.codes,
        "answers": [[[*key], count] for key, count in callers.answers.items()],
    }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    uvloop.run(_main())

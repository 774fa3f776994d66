"""What `make bench-serving` measures is there, on a bundle that takes seconds."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest

from tests.bench.callers import LOST, Load, call
from tests.bench.serving import Plan, measure

SHORT = Plan(items=300, start=300, rounds=1, calls=10, callers=2, seconds=0.5, steady=1.0, peers=False)


@pytest.mark.slow
def test_every_row_is_measured(tmp_path):
    rows = list(measure(SHORT, tmp_path))
    assert len(rows) == 16
    assert all(np.isfinite(row.value) for row in rows)
    assert sum(row.ok is not None for row in rows) == 6


def load_of(answer: bytes, **load) -> tuple:
    """What a load says of a server that answers each request so, and what the server was asked."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            asked.append(await reader.readexactly(int(head.split(b"Content-Length: ")[1].split()[0])))
            writer.write(answer)
            if not answer:
                writer.close()
                return

    async def told():
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            host, port = server.sockets[0].getsockname()
            return await asyncio.to_thread(call, Load(f"http://{host}:{port}", **load))

    return asyncio.run(told()), asked


def http(status: int, **said) -> bytes:
    body = json.dumps(said).encode()
    return b"HTTP/1.1 %d Some\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body)


def test_a_load_sends_each_body_in_turn_and_tells_answers_apart():
    answer = http(200, version=3, source="model", items=[{"item": "a"}, {"item": "b"}])
    outcome, asked = load_of(answer, bodies=["one", "zwei"], callers=1, calls=5, keep=True)
    assert asked == [b"one", b"zwei", b"one", b"zwei", b"one"]
    assert (outcome.statuses, len(outcome.taken)) == ({200: 5}, 5)
    assert outcome.answers == {(0, 3, "model", "", "a b"): 3, (1, 3, "model", "", "a b"): 2}


def test_a_load_counts_what_was_refused_and_what_was_lost():
    assert load_of(http(503, error="full"), bodies=["x"], calls=3)[0].statuses == {503: 3}
    assert load_of(b"", bodies=["x"], calls=3)[0].statuses == {LOST: 3}


def test_a_load_keeps_its_rate_and_ends_in_time():
    outcome, _ = load_of(http(200, ok=True), bodies=["x"], callers=4, rate=50, seconds=1)
    assert 30 <= outcome.calls <= 51

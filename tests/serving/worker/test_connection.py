"""One end of a socket: whole answers however they come, and none for the wrong call."""

from __future__ import annotations

import asyncio
import socket

import numpy as np
import pytest
import uvloop

from serving.worker.connection import Connection
from serving.worker.wire import SIZES, pack

ANSWER = pack({}, {"scores": np.arange(3, dtype=np.float32), "items": np.array(["a", "", "日本"], object)})


def over(story) -> None:
    """Run a story with a connection and the other end of its socket."""

    async def told() -> None:
        ours, theirs = socket.socketpair()
        connection = await Connection.over(ours)
        with theirs:
            await asyncio.wait_for(story(connection, theirs), 30)
        connection.close()

    for run in (asyncio.run, uvloop.run):
        run(told())


@pytest.mark.parametrize("size", [1, 5, SIZES.size, len(ANSWER) - 1, len(ANSWER)])
def test_an_answer_is_whole_however_it_was_cut(size):
    async def story(connection: Connection, theirs: socket.socket) -> None:
        for _ in range(3):
            call = connection.ask(b"a call", 30)
            for start in range(0, len(ANSWER), size):
                assert not call.done()
                theirs.sendall(ANSWER[start : start + size])
                await asyncio.sleep(0.001)
            said, arrays = await call
            assert said == {}
            assert arrays["scores"].tolist() == [0, 1, 2]
            assert [one.decode() for one in arrays["items"]] == ["a", "", "日本"]
        assert theirs.recv(100) == b"a call" * 3

    over(story)


@pytest.mark.parametrize("bytes_", [SIZES.pack(3, 0) + b"{]}", SIZES.pack(2, 0) + b"{}"])
def test_what_cannot_be_read_ends_the_connection(bytes_):
    async def story(connection: Connection, theirs: socket.socket) -> None:
        call = connection.ask(b"a call", 30)
        theirs.sendall(bytes_ + ANSWER)
        with pytest.raises(ConnectionError, match="cannot be read"):
            await call
        with pytest.raises(ConnectionError, match="the process is gone"):
            await connection.ask(b"a call", 30)

    over(story)


def test_one_that_does_not_answer_or_closes_its_end_is_given_up():
    async def silent(connection: Connection, theirs: socket.socket) -> None:
        with pytest.raises(ConnectionError, match=r"no answer in 0\.05 s"):
            await connection.ask(b"a call", 0.05)
        with pytest.raises(ConnectionError, match="the process is gone"):
            await connection.ask(b"a call", 30)

    async def closed(connection: Connection, theirs: socket.socket) -> None:
        call = connection.ask(b"a call", 30)
        assert theirs.recv(100) == b"a call"
        theirs.close()
        with pytest.raises(ConnectionError, match="closed its socket"):
            await call

    over(silent)
    over(closed)


def test_a_time_that_was_enough_ends_nothing_later():
    async def story(connection: Connection, theirs: socket.socket) -> None:
        call = connection.ask(b"a call", 0.2)
        theirs.sendall(ANSWER)
        await call
        await asyncio.sleep(0.3)
        call = connection.ask(b"a call", 30)
        theirs.sendall(ANSWER)
        assert (await call)[1]

    over(story)

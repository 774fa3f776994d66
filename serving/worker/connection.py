"""The server's end of a socket to a process: a call goes out, its answer comes in, and then the next one.

A protocol of its own: asyncio's streams turn the event loop five times for a call, and each turn waits behind whatever
else there is to do.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, cast

from serving.worker.wire import SIZES, Arrays, unpack

Answer = tuple[dict[str, Any], Arrays]


class Connection(asyncio.Protocol):
    """One call at a time: the future that `ask` returns holds its answer, or ConnectionError once there will be none.

    The first answer, `said`, is to no call: it says that the process is ready. Whoever waits for an answer must leave
    its future as it is: the connection is of use again once the answer is here, whether or not somebody wants it.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._buffer, self._wanted = bytearray(), SIZES.size
        self.said: asyncio.Future[Answer] = self._loop.create_future()
        self._hangs: asyncio.TimerHandle | None = None

    @classmethod
    async def over(cls, sock: socket.socket) -> Connection:
        """A connection over our end of a pair of sockets."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, sock=sock)
        return connection

    def ask(self, frame: bytes, seconds: float) -> asyncio.Future[Answer]:
        """Send a call, and give the connection up where no answer comes in so many seconds."""
        self.said = self._loop.create_future()
        if self._transport.is_closing():
            self._end("the process is gone")
        else:
            self._hangs = self._loop.call_later(seconds, self._end, f"no answer in {seconds:g} s")
            self._transport.write(frame)
        return self.said

    def close(self) -> None:
        """Close the socket."""
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As asyncio has it."""
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's is none by class

    def data_received(self, data: bytes) -> None:
        """As asyncio has it."""
        self._buffer += data
        if len(self._buffer) < self._wanted:  # large answers come in many pieces
            return
        head, body = SIZES.unpack_from(self._buffer)
        self._wanted = SIZES.size + head + body
        if len(self._buffer) < self._wanted:
            return
        frame, self._buffer, self._wanted = bytes(self._buffer), bytearray(), SIZES.size
        try:
            answer = unpack(frame[SIZES.size : SIZES.size + head], frame[SIZES.size + head :])
        except Exception as error:  # no process of this package says so
            self._end(f"an answer that cannot be read: {error!r}")
        else:
            self._settle()
            if not self.said.done():
                self.said.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        """As asyncio has it."""
        self._end(str(error or "it closed its socket"))

    def _end(self, why: str) -> None:
        """There will be no answer; what may still come of one would be the next caller's."""
        self._settle()
        self._transport.abort()
        if not self.said.done():
            self.said.set_exception(ConnectionError(why))
            self.said.exception()  # seen: nobody may wait for it any more

    def _settle(self) -> None:
        if self._hangs is not None:
            self._hangs.cancel()
            self._hangs = None

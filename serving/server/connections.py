"""One client's connection, which it may not hold for ever: a request must be here in time, its answer be read in time,
and there are only so many connections.

Uvicorn's own waits without end for what a client sends slowly, or does not read. Where one more would be too many, the
one that has waited longest for its client is closed: clients that say nothing keep nobody else out.
"""

from __future__ import annotations

import asyncio
import json
from enum import Enum
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from configs.serving import Limits
from serving.server.metrics import Metrics

_HEAD = 65_536  # bytes of a request's line and headers, and of trailers: of packets that hold nothing else


class Connections:
    """Those that are open."""

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self.seconds, self.metrics = limits.read, metrics
        self._most, self._open = limits.connections, 0
        self._waiting: dict[Connection, None] = {}  # for their clients, the one that has for longest first

    def opened(self, connection: Connection) -> None:
        """One more, for which another one goes where there are too many."""
        self._open += 1
        self.metrics.connections.set(self._open)
        self.waits(connection)
        if self._open > self._most:
            longest = next(iter(self._waiting))
            self.works(longest)  # it is open until the loop turns, in which others may come
            longest.end("full")

    def closed(self, connection: Connection) -> None:
        """One less."""
        self._open -= 1
        self.metrics.connections.set(self._open)
        self.works(connection)

    def waits(self, connection: Connection) -> None:
        """From now on it waits for its client."""
        self._waiting[connection] = None

    def works(self, connection: Connection) -> None:
        """Its request is here, and is answered."""
        self._waiting.pop(connection, None)


class _Part(Enum):
    """Of a request, what is not here yet."""

    NOTHING, HEAD, BODY = range(3)


class Connection(HttpToolsProtocol):
    """Uvicorn's, whose client has `limits.read` seconds for a request, and for reading what is written.

    `_until` is the moment by which something must have come. One timer looks now and then whether it has passed: a
    request on a connection that is kept sets no timer.
    """

    shared: Connections  # see `among`

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As asyncio has it."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self._missing = _Part.NOTHING
        self._said, self._alone = 0, True  # bytes beside bodies since the last of one; whether a packet has no others
        self._refusal: tuple[HTTPStatus, str, str] | None = None  # that comes after the answers before it
        self._unread: asyncio.TimerHandle | None = None
        self._often = min(self.shared.seconds, self.timeout_keep_alive)  # no moment that is set is nearer
        self._until = self.loop.time() + self.shared.seconds
        self._next = self.loop.call_later(self._often, self._look)
        self.shared.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """As asyncio has it."""
        self._next.cancel()
        self._was_read()
        self.shared.closed(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """As asyncio has it."""
        if self._refusal is not None:
            return
        self._alone = True
        super().data_received(data)
        if self._missing is _Part.NOTHING or not self._alone or self.transport.is_closing():
            return
        self._said += len(data)
        if self._said > _HEAD:
            what = "head" if self._missing is _Part.HEAD else "trailers"
            why = f"{what}: expected at most {_HEAD} bytes"
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, why, "head")

    def send_400_response(self, msg: str) -> None:
        """As uvicorn has it: what came is no HTTP."""
        self._refuse(HTTPStatus.BAD_REQUEST, "request: found what is no HTTP/1.1", "malformed")

    def on_message_begin(self) -> None:
        """As httptools has it."""
        self._missing, self._said, self._alone = _Part.HEAD, 0, False
        self._until = self.loop.time() + self.shared.seconds
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """As httptools has it."""
        super().on_headers_complete()
        self._missing = _Part.BODY

    def on_body(self, body: bytes) -> None:
        """As httptools has it."""
        self._said, self._alone = 0, False
        super().on_body(body)

    def on_message_complete(self) -> None:
        """As httptools has it."""
        self._missing = _Part.NOTHING
        if self.cycle.response_complete:  # it was refused before it was here
            self._until = self.loop.time() + self.timeout_keep_alive
        else:
            self.shared.works(self)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """As uvicorn has it, but for its timer of each connection that is kept: it ends with whatever comes next, be it
        no request."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():  # once its client has read this one
            self._until = self.loop.time() + self.shared.seconds
            self.shared.waits(self)
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        if self._answers():
            return
        idle = self._missing is _Part.NOTHING
        self._until = self.loop.time() + (self.timeout_keep_alive if idle else self.shared.seconds)
        self.shared.waits(self)
        if self._refusal is not None:
            self._refuse(*self._refusal)

    def pause_writing(self) -> None:
        """As asyncio has it: the client does not read."""
        super().pause_writing()
        self._unread = self.loop.call_later(self.shared.seconds, self.end, "unread")

    def resume_writing(self) -> None:
        """As asyncio has it."""
        super().resume_writing()
        self._was_read()

    def end(self, reason: str) -> None:
        """Close it at once."""
        self.shared.metrics.closed.labels(reason).inc()
        self.transport.abort()

    def _was_read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _answers(self) -> bool:
        """Whether a request that is here has no answer yet."""
        if self.cycle is None or self.cycle.response_complete:
            return False
        return self._missing is not _Part.BODY or bool(self.pipeline)  # else the newest is what is not here

    def _look(self) -> None:
        now = self.loop.time()
        if now >= self._until:
            self._is_late()
        left = self._until - now
        self._next = self.loop.call_later(min(left, self._often) if left > 0 else self._often, self._look)

    def _is_late(self) -> None:
        if self.transport.is_closing():  # once its client has read what is written
            self.end("unread")
        elif self._answers():
            return
        elif self._missing is not _Part.NOTHING:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"request: not here after {self.shared.seconds:g} s", "slow")
        elif self.cycle is None:  # it was opened, and nothing came
            self.end("slow")
        else:
            self.timeout_keep_alive_handler()

    def _refuse(self, status: HTTPStatus, why: str, reason: str) -> None:
        """Say why, unless the request has an answer already, and close it: after the answers to those before it."""
        if self._answers():
            self._refusal = status, why, reason
            return
        if self._missing is not _Part.BODY or not self.cycle.response_started:
            body = json.dumps({"error": why}).encode()
            head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\nConnection: close\r\n"
            self.transport.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            self.shared.metrics.requests.labels("refused", str(status.value)).inc()
        self.shared.metrics.closed.labels(reason).inc()
        self._until = self.loop.time() + self.shared.seconds
        self.transport.close()


def among(limits: Limits, metrics: Metrics) -> type[Connection]:
    """What uvicorn makes of each connection of one server."""

    class Among(Connection):
        shared = Connections(limits, metrics)

    return Among

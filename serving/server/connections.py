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

_HEAD = 65_536  # bytes of a request's line and headers


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
    """Uvicorn's, whose client has `limits.read` seconds for a request, and for reading what is written."""

    shared: Connections  # see `among`

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As asyncio has it."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self._missing, self._head = _Part.NOTHING, 0  # bytes of a head that is not here yet
        self._late: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._wait()
        self.shared.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """As asyncio has it."""
        self._came()
        self._was_read()
        self.shared.closed(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """As asyncio has it."""
        super().data_received(data)
        if self._missing is _Part.NOTHING:
            self._came()
            return
        if self._missing is _Part.HEAD:
            self._head += len(data)
            if self._head > _HEAD:
                why = f"head: expected at most {_HEAD} bytes"
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, why, "head")
                return
        if self._late is None:
            self._wait()

    def on_message_begin(self) -> None:
        """As httptools has it."""
        self._missing, self._head = _Part.HEAD, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """As httptools has it."""
        self._missing = _Part.BODY
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """As httptools has it."""
        self._missing = _Part.NOTHING
        if not self.cycle.response_complete:  # else it was refused before it was here
            self.shared.works(self)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """As uvicorn has it."""
        super().on_response_complete()
        if not self.pipeline:
            self.shared.waits(self)

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

    def _wait(self) -> None:
        self._late = self.loop.call_later(self.shared.seconds, self._is_late)

    def _came(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _was_read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _is_late(self) -> None:
        before = self._missing is _Part.HEAD and self.cycle is not None and not self.cycle.response_complete
        if before or self.pipeline:  # an answer to the request before comes first
            self._wait()
        elif self._missing is _Part.NOTHING:  # it was opened, and nothing came
            self.end("slow")
        else:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"request: not here after {self.shared.seconds:g} s", "slow")

    def _refuse(self, status: HTTPStatus, why: str, reason: str) -> None:
        """Say why, unless the request has an answer already, and close it."""
        if self._missing is _Part.HEAD or not self.cycle.response_started:
            body = json.dumps({"error": why}).encode()
            head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\nConnection: close\r\n"
            self.transport.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            self.shared.metrics.requests.labels("refused", str(status.value)).inc()
        self.shared.metrics.closed.labels(reason).inc()
        self.transport.close()


def among(limits: Limits, metrics: Metrics) -> type[Connection]:
    """What uvicorn makes of each connection of one server."""

    class Among(Connection):
        shared = Connections(limits, metrics)

    return Among

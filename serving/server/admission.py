"""What is let in: requests with the key, of a bounded size, and no more at once than can be answered in time.

Plain ASGI, before anything is parsed: a refusal must cost little when there are too many requests.
"""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from configs.serving import Serving
from serving.server.metrics import Metrics

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_OPEN = ("/healthz", "/readyz")  # for whoever restarts or routes, in whatever state
_WATCHED = ("/metrics", "/status")  # what is looked at when there is no room any more
_PAGES = ("/", "/docs", "/openapi.json")  # what a browser opens before it can send a key
_READS = ("GET", "HEAD", "OPTIONS")


class Refused(Exception):
    """A request that is not let in."""

    def __init__(self, status: HTTPStatus, why: str, **headers: str) -> None:
        super().__init__(why)
        self.status, self.why, self.headers = status, why, headers


class Admission:
    """The application behind its limits."""

    def __init__(self, app: App, settings: Serving, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics
        self._key = settings.api_key.encode() if settings.api_key else None
        self._body = settings.limits.body
        self._most = settings.room
        self._now = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or scope["path"] in _OPEN:
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        try:
            self._check_key(scope)
            self._check_origin(scope)
            if scope["path"] in _WATCHED:
                await self._app(scope, receive, send)
                return
            self._check_room()
            body = await self._read(scope, receive)  # takes no room: who sends slowly keeps nobody out
            if body is None:
                return
            self._check_room()
            with self._inside():
                await self._app(scope, _again(body, receive), send)
        except Refused as refused:
            await _refuse(send, refused)
            self._count(refused, time.perf_counter() - started)

    def _check_room(self) -> None:
        if self._now >= self._most:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "too many requests wait; try again", **{"Retry-After": "1"})

    @contextmanager
    def _inside(self) -> Iterator[None]:
        self._now += 1
        try:
            with self._metrics.inside():
                yield
        finally:
            self._now -= 1

    def _check_key(self, scope: Scope) -> None:
        path = scope["path"]
        if self._key is None or path in _PAGES or path.startswith("/page/"):
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-api-key") or headers.get(b"authorization", b"").removeprefix(b"Bearer ")
        if not hmac.compare_digest(given, self._key):
            raise Refused(
                HTTPStatus.UNAUTHORIZED,
                "expected the API key as X-API-Key or as Authorization: Bearer",
                **{"WWW-Authenticate": "Bearer"},
            )

    def _check_origin(self, scope: Scope) -> None:
        """No page of another site writes to a server that asks for no key: browsers send such posts without asking."""
        headers = dict(scope["headers"])
        origin = headers.get(b"origin")
        if self._key is not None or scope["method"] in _READS or origin is None:
            return
        if urlsplit(origin.decode("latin-1")).netloc != headers.get(b"host", b"").decode("latin-1"):
            raise Refused(HTTPStatus.FORBIDDEN, "origin: found another site's, expected this server's own page")

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body; None where its client went away, or was too slow for `connections`. Raises: Refused where it
        is too large."""
        too_large = Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"body: expected at most {self._body} bytes")
        said = dict(scope["headers"]).get(b"content-length", b"0")
        if said.isdigit() and int(said) > self._body:
            raise too_large
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            size += len(message.get("body", b""))
            if size > self._body:
                raise too_large
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                return b"".join(parts)

    def _count(self, refused: Refused, seconds: float) -> None:
        shed = refused.status == HTTPStatus.SERVICE_UNAVAILABLE
        count = self._metrics.had_no_room if shed else self._metrics.answered
        count("refused", refused.status, seconds)


def _again(body: bytes, receive: Receive) -> Receive:
    """A body that was read already, and what comes after it."""
    first = True

    async def read() -> Message:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return read


async def _refuse(send: Send, refused: Refused) -> None:
    body = json.dumps({"error": refused.why}).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **refused.headers}
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": int(refused.status), "headers": encoded})
    await send({"type": "http.response.body", "body": body})

"""The HTTP application: what is mounted where, and which error is answered how. It imports no TensorFlow."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match, Route

from configs.version import VERSION
from serving.inputs import RequestError
from serving.runtime import RuntimeFailure
from serving.server import pages, routes
from serving.server.admission import Admission, App, Message, Receive, Scope, Send
from serving.server.direct import Direct
from serving.server.metrics import Metrics
from serving.server.service import Service
from serving.tfserving import rest
from serving.tfserving.models import NotServed
from serving.worker.process import DeadlinePassed, WorkerGone

_log = logging.getLogger("twinspire.server")
_STATUS: dict[type[Exception], HTTPStatus] = {
    RequestError: HTTPStatus.UNPROCESSABLE_ENTITY,
    routes.WrongBody: HTTPStatus.UNPROCESSABLE_ENTITY,
    NotServed: HTTPStatus.SERVICE_UNAVAILABLE,
    WorkerGone: HTTPStatus.SERVICE_UNAVAILABLE,
    DeadlinePassed: HTTPStatus.GATEWAY_TIMEOUT,
    RuntimeFailure: HTTPStatus.SERVICE_UNAVAILABLE,
}

_COUNTED = "twinspire.counted"  # in the scope of a request that `_Timed` counts


def application(service: Service) -> App:
    """The server around a service."""
    # FastAPI's own pages of documentation load scripts from elsewhere
    app = FastAPI(title="twinspire", version=VERSION, docs_url=None, redoc_url=None)
    parts = [
        routes.router(service),
        pages.router(),
        rest.router(service.versions, service.settings.limits.deadline),
    ]
    for part in parts:
        app.include_router(part)
    _answer_errors(app, [*app.routes, *(route for part in parts for route in part.routes)])
    direct = Direct(app, routes.posts(service), _failed)
    timed = _Timed(direct, service.metrics)
    return _Unforeseen(Admission(timed, service.settings, service.metrics), service.metrics)


class _Timed:
    """Counts answers by route and status, and times them."""

    def __init__(self, app: App, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        # to ask for an answer's head is to ask for it: uvicorn sends no body to who asked so
        asked = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        scope[_COUNTED] = True
        try:
            await self._app(asked, receive, sent)
        finally:
            route = asked.get("route")  # the pattern: ids in paths must not become labels
            name = getattr(route, "path_format", getattr(route, "path", "other"))
            self._metrics.answered(name, status, time.perf_counter() - started)


class _Unforeseen:
    """Answers what failed in a way that nobody foresaw in JSON, too, and tells the log of it."""

    def __init__(self, app: App, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = ended = False

        async def sent(message: Message) -> None:
            nonlocal begun, ended
            begun = True
            ended = message["type"] == "http.response.body" and not message.get("more_body")
            await send(message)

        try:
            await self._app(scope, receive, sent)
        except Exception:
            _log.exception("%s %s failed", scope.get("method"), scope.get("path"))
            if begun and not ended:
                raise  # the client must not take half an answer for a whole one
            if begun:  # FastAPI answers, and raises all the same
                return
            await _internal()(scope, receive, send)
            if _COUNTED not in scope:
                self._metrics.answered("other", HTTPStatus.INTERNAL_SERVER_ERROR, 0.0)


def _internal() -> JSONResponse:
    return JSONResponse({"error": "the server failed; its log says how"}, HTTPStatus.INTERNAL_SERVER_ERROR)


def _failed(error: Exception) -> JSONResponse | None:
    """The answer to an error that has one."""
    status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), None)
    if status is None:
        return None
    headers = {"Retry-After": "1"} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return JSONResponse({"error": " ".join(str(error).split())}, status, headers)


def _answer_errors(app: FastAPI, paths: Sequence[BaseRoute]) -> None:
    def known(request: Request, error: Exception) -> JSONResponse:
        answer = _failed(error)
        assert answer is not None
        return answer

    for kind in _STATUS:
        app.add_exception_handler(kind, known)

    @app.exception_handler(RequestValidationError)
    async def _(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
        return JSONResponse({"error": f"{where or 'body'}: {first['msg']}"}, HTTPStatus.UNPROCESSABLE_ENTITY)

    @app.exception_handler(HTTPException)
    async def _(request: Request, error: HTTPException) -> Response:
        if error.status_code != HTTPStatus.METHOD_NOT_ALLOWED:
            return JSONResponse({"error": str(error.detail)}, error.status_code, getattr(error, "headers", None))
        allowed = _allowed(paths, request.scope)
        headers = {"Allow": ", ".join(allowed)}
        if request.method == "OPTIONS":
            return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)
        said = f"method: found {request.method}, expected {' or '.join(allowed)}"
        return JSONResponse({"error": said}, error.status_code, headers)

    @app.exception_handler(Exception)
    async def _(request: Request, error: Exception) -> JSONResponse:
        return _internal()


def _allowed(paths: Sequence[BaseRoute], scope: Scope) -> list[str]:
    """The methods of a path."""
    found = {"OPTIONS"}
    for path in paths:
        if isinstance(path, Route) and path.matches(scope)[0] != Match.NONE:
            found |= path.methods or set()
    return sorted(found | ({"HEAD"} if "GET" in found else set()))

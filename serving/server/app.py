"""The HTTP application: what is mounted where, and which error is answered how. It imports no TensorFlow."""

from __future__ import annotations

import logging
import time
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

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


def application(service: Service) -> App:
    """The server around a service."""
    # FastAPI's own pages of documentation load scripts from elsewhere
    app = FastAPI(title="twinspire", version=VERSION, docs_url=None, redoc_url=None)
    app.include_router(routes.router(service))
    app.include_router(pages.router())
    app.include_router(rest.router(service.versions, service.settings.limits.deadline))
    _answer_errors(app)
    direct = Direct(app, routes.posts(service), _failed)
    return Admission(_Timed(direct, service.metrics), service.settings, service.metrics)


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

        try:
            await self._app(scope, receive, sent)
        finally:
            route = scope.get("route")  # the pattern: ids in paths must not become labels
            name = getattr(route, "path_format", getattr(route, "path", "other"))
            self._metrics.answered(name, status, time.perf_counter() - started)


def _failed(error: Exception) -> JSONResponse | None:
    """The answer to an error that has one."""
    status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), None)
    if status is None:
        return None
    headers = {"Retry-After": "1"} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return JSONResponse({"error": " ".join(str(error).split())}, status, headers)


def _answer_errors(app: FastAPI) -> None:
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
    async def _(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": str(error.detail)}, error.status_code, getattr(error, "headers", None))

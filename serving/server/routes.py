"""The friendly interface: lists, neighbours, events and users, and whether the server is well.

Lists and events read their bodies themselves: FastAPI's own way to an argument costs more than the answer's HTTP.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError

from serving.server.api import (
    EventsAnswer,
    EventsRequest,
    Failure,
    Found,
    RecommendAnswer,
    RecommendRequest,
    SimilarAnswer,
    SimilarRequest,
    User,
    UserFeatures,
)
from serving.server.metrics import CONTENT_TYPE
from serving.server.service import Service

_Responses = dict[int | str, dict[str, Any]]
_WRONG: _Responses = {422: {"model": Failure, "description": "What was asked is wrong; the error names the field."}}
_AWAY: _Responses = {503: {"model": Failure, "description": "No version serves, or too many requests wait."}}
_MOST = Query(10, ge=1, le=100)

# bodies that a route reads by itself, and that OpenAPI must be told of
BODIES: dict[str, type[BaseModel]] = {
    "/recommend": RecommendRequest,
    "/similar": SimilarRequest,
    "/events": EventsRequest,
}

B = TypeVar("B", bound=BaseModel)


class WrongBody(ValueError):
    """A body that is not what the route takes, in one line that names the field."""


def router(service: Service) -> APIRouter:
    """All routes of one service."""
    routes = APIRouter()
    _lists(routes, service)
    _users(routes, service)
    _health(routes, service)
    return routes


def _lists(routes: APIRouter, service: Service) -> None:
    def post(path: str, takes: type[B], gives: type[BaseModel], answer: Callable[[B], Awaitable[BaseModel]]) -> None:
        async def call(request: Request) -> Response:
            found = await answer(_read(takes, await request.body()))
            return Response(found.model_dump_json(exclude_none=True), media_type="application/json")

        summary = (answer.__doc__ or "").partition(" Raises")[0]
        routes.post(path, response_model=gives, responses={**_WRONG, **_AWAY}, description=summary)(call)

    post("/recommend", RecommendRequest, RecommendAnswer, service.recommend)
    post("/similar", SimilarRequest, SimilarAnswer, service.similar)
    post("/events", EventsRequest, EventsAnswer, service.add)


def _users(routes: APIRouter, service: Service) -> None:
    @routes.get("/users", responses=_AWAY)
    async def users(prefix: str = "", most: int = _MOST) -> Found:
        """Ids of users that begin so."""
        return await service.search_users(prefix, most)

    @routes.get("/users/{user}", responses=_AWAY)
    async def user(user: str) -> User:
        """What is known of a user."""
        return await service.user(user)

    @routes.put("/users/{user}", responses={**_WRONG, **_AWAY})
    async def set_features(user: str, said: UserFeatures) -> dict[str, bool]:
        """Set features of a user from now on; null takes one back."""
        return {"stored": await service.set_features(user, said.features)}

    @routes.get("/items", responses=_AWAY)
    async def items(text: str, most: int = _MOST) -> Found:
        """Items of that id, or with that text in their titles."""
        return await service.search_items(text, most)


def _health(routes: APIRouter, service: Service) -> None:
    @routes.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether the server runs."""
        return {"status": "ok"}

    @routes.get("/readyz", responses={503: {"description": "No version answers."}})
    async def readyz() -> Response:
        """Whether a version answers; without one popularity does, if there ever was one."""
        stable = service.versions.stable
        ready = stable is not None and stable.ready
        return JSONResponse({"ready": ready, "version": stable.number if stable else None}, 200 if ready else 503)

    @routes.get("/metrics")
    async def metrics() -> Response:
        """Everything that is counted, for Prometheus."""
        return Response(service.metrics.exposition(), media_type=CONTENT_TYPE)

    @routes.get("/status")
    async def status() -> dict[str, Any]:
        """Versions, users' store and latencies at a glance."""
        return await service.status()


def _read(takes: type[B], body: bytes) -> B:
    """Raises: WrongBody."""
    try:
        return takes.model_validate_json(body)
    except ValidationError as error:
        raise WrongBody(explained(error)) from None


def explained(error: ValidationError) -> str:
    """The first thing that is wrong, in one line that names the field."""
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(map(str, first["loc"])) or "body"
    return f"{where}: {first['msg'][0].lower()}{first['msg'][1:]}"

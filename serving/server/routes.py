"""The friendly interface: lists, neighbours, events and users, and whether the server is well.

What is asked most, `posts`, goes past FastAPI, which only describes it: see `direct`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError

from serving.server.api import (
    LONGEST,
    Catalogue,
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
from serving.server.direct import Post
from serving.server.metrics import CONTENT_TYPE
from serving.server.service import Service

_Responses = dict[int | str, dict[str, Any]]
_WRONG: _Responses = {422: {"model": Failure, "description": "What was asked is wrong; the error names the field."}}
_AWAY: _Responses = {503: {"model": Failure, "description": "No version serves, or too many requests wait."}}
_MOST = Query(10, ge=1, le=100)
_User = Annotated[str, Path(min_length=1, max_length=LONGEST)]

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


def posts(service: Service) -> list[Post]:
    """What answers the bodies of `BODIES`."""

    def post(path: str, takes: type[B], answer: Callable[[B], Awaitable[BaseModel]]) -> Post:
        async def call(body: bytes) -> bytes:
            return (await answer(_read(takes, body))).model_dump_json(exclude_none=True).encode()

        return Post(path, call)

    return [
        post("/recommend", RecommendRequest, service.recommend),
        post("/similar", SimilarRequest, service.similar),
        post("/events", EventsRequest, service.add),
    ]


def _lists(routes: APIRouter, service: Service) -> None:
    """What `posts` answers, for those who read the interface's description."""

    def describe(path: str, gives: type[BaseModel], answer: Callable[..., Awaitable[BaseModel]]) -> None:
        summary = (answer.__doc__ or "").partition(" Raises")[0]
        routes.post(path, response_model=gives, responses={**_WRONG, **_AWAY}, description=summary)(answer)

    describe("/recommend", RecommendAnswer, service.recommend)
    describe("/similar", SimilarAnswer, service.similar)
    describe("/events", EventsAnswer, service.add)


def _users(routes: APIRouter, service: Service) -> None:
    @routes.get("/users", responses=_AWAY)
    async def users(prefix: str = "", most: int = _MOST) -> Found:
        """Ids of users that begin so."""
        return await service.search_users(prefix, most)

    @routes.get("/users/{user:path}", responses=_AWAY)  # ids may hold slashes
    async def user(user: _User) -> User:
        """What is known of a user."""
        return await service.user(user)

    @routes.put("/users/{user:path}", responses={**_WRONG, **_AWAY})
    async def set_features(user: _User, said: UserFeatures) -> dict[str, bool]:
        """Set features of a user from now on; null takes one back."""
        return {"stored": await service.set_features(user, said.features)}

    @routes.get("/items", responses=_AWAY)
    async def items(text: str, most: int = _MOST) -> Found:
        """Items of that id, or with that text in their titles."""
        return await service.search_items(text, most)

    @routes.get("/catalogue", responses=_AWAY)
    async def catalogue() -> Catalogue:
        """Filters and their values, what can be liked, features, kinds of events and limits."""
        return service.catalogue()


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

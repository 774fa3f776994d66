"""The short way to lists, neighbours and events: from a body to an answer, past the web framework's routing, middleware
and dependencies, which take longer than all else that the server does for a list."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from fastapi import Response

from serving.server.admission import App, Receive, Scope, Send


class Post(NamedTuple):
    """What answers a POST to a path, body to body, both JSON."""

    path: str
    answer: Callable[[bytes], Awaitable[bytes]]


class Direct:
    """An application, and before it the answers to some paths. `failed` answers an exception that it knows, and is None
    for others."""

    def __init__(self, app: App, posts: Sequence[Post], failed: Callable[[Exception], Response | None]) -> None:
        self._app, self._failed = app, failed
        self._posts = {post.path: post for post in posts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, whose body was read already and comes in one message."""
        post = self._posts.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if post is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = post
        try:
            said = await post.answer((await receive())["body"])
        except Exception as error:
            if (response := self._failed(error)) is None:
                raise
        else:
            response = Response(said, media_type="application/json")
        await response(scope, receive, send)

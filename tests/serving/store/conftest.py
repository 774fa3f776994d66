"""A place for each kind of store."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.redis_server import RedisServer, skip_without_redis


@pytest.fixture(params=["sqlite", "redis"])
def place(request, tmp_path) -> str:
    """The address of an empty store."""
    if request.param == "sqlite":
        return f"sqlite:{tmp_path / 'store.sqlite'}"
    server: RedisServer = request.getfixturevalue("redis_server")
    server.empty()
    return server.url


@pytest.fixture
def fragile_redis() -> Iterator[RedisServer]:
    """One that a test may kill; what it acknowledged is on its disk."""
    skip_without_redis()
    server = RedisServer(durable=True)
    server.start()
    yield server
    server.release()
    server.remove()

"""What is known of users: what the version's data says, and over it what came since, from the store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from serving.server.metrics import Metrics
from serving.server.version import Version
from serving.state import QueryState
from serving.store.base import Event, Store, StoreDown, merge

T = TypeVar("T")
_log = logging.getLogger("twinspire.users")


class Users:
    """Reads and writes users' state. A store that is down costs what came since the version's data, and no answer."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._store, self._metrics = store, metrics
        self.trouble: str | None = None  # why the store is down; None while it is not

    async def state(self, user: str, version: Version | None) -> QueryState | None:
        """What is known of a user, of the store alone where there is no version; None for an unknown one."""
        base = version.bundle.state.query(user) if version else None
        try:
            stored = await self._store.get(user)
        except StoreDown as error:
            self._failed("get", error)
            return base
        self._works()
        return merge(base, stored, until=int(version.manifest["data"]["end"]) if version else None)

    async def add(self, events: Sequence[Event]) -> bool:
        """Store events; whether that was possible."""
        return await self._told("add", lambda: self._store.add(events))

    async def put(self, user: str, features: Mapping[str, Any]) -> bool:
        """Set features of a user; whether that was possible."""
        return await self._told("put", lambda: self._store.put(user, features))

    async def prune(self, before: int, seconds: float) -> None:
        """Drop events of moments before `before` that came at least so many seconds ago, where the store is there."""
        try:
            gone = await self._store.prune(before, seconds)
        except StoreDown as error:
            self._failed("prune", error)
            return
        self._works()
        self._metrics.pruned.inc(gone)
        if gone:
            _log.info("dropped %d stored events that versions know from their data", gone)

    async def search(self, prefix: str, most: int, version: Version) -> list[str]:
        """At most so many ids that begin so, of the version's data and of the store."""
        found = version.bundle.state.queries_from(prefix, most)
        try:
            found += await self._store.search(prefix, most)
        except StoreDown as error:
            self._failed("search", error)
        return sorted(set(found))[:most]

    async def reachable(self) -> bool:
        """Whether the store answers."""
        return await self._told("ping", self._store.ping)

    async def close(self) -> None:
        """Close the store."""
        await self._store.close()

    async def _told(self, call: str, ask: Callable[[], Any]) -> bool:
        try:
            await ask()
        except StoreDown as error:
            self._failed(call, error)
            return False
        self._works()
        return True

    def _failed(self, call: str, error: StoreDown) -> None:
        self._metrics.store.labels(call).inc()
        self._metrics.store_up.set(0)
        if self.trouble is None:  # once, not for each request
            _log.error("%s", error)
        self.trouble = str(error)

    def _works(self) -> None:
        self._metrics.store_up.set(1)
        if self.trouble is not None:
            _log.info("the store is back")
        self.trouble = None

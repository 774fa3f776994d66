"""A store in Redis, for several servers; it needs the extra `redis` and a Redis of version 6 or later.

Under `twinspire:` stand, for a query with id Q: `e:Q`, its events, a sorted set by when each came; `f:Q`, the features
that were set, a hash; `l:Q`, what was loaded, as "LOAD UNTIL JSON". `ids` holds all Q in order, `meta` the version of
this layout and the last load.
Two models need two numbers of a Redis, or two of them. What was acknowledged survives Redis itself as far as its
`appendonly` and `save` say; the event log has those events still.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from serving.state import QueryState
from serving.store.base import (
    KEEP,
    READ,
    WRITE,
    Event,
    Loaded,
    Stored,
    StoreDown,
    StoreError,
)
from serving.store.guard import Guard
from serving.store.values import check_text, checked, decoded, encoded

try:
    import redis.asyncio as client
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisError
except ImportError:
    raise StoreError("store: redis:// needs the redis package: pip install 'twinspire[redis]'") from None

_VERSION = "1"
_E, _F, _L = (f"twinspire:{letter}:" for letter in "efl")
_IDS, _META = "twinspire:ids", "twinspire:meta"
_CONNECTIONS = 32
_SECONDS = 30.0  # that loading and pruning may wait for one answer
_PART = 500  # queries a round trip
_OFFSET = 2**63  # makes an int64 one that is not negative, whose digits are in order

_FORGET = """
if redis.call('EXISTS', KEYS[1], KEYS[2], KEYS[3]) == 0 then redis.call('ZREM', KEYS[4], ARGV[1]) end
"""
_PRUNE = f"""
local gone = 0
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[3])) do
    if string.sub(member, 1, 16) < ARGV[2] then gone = gone + redis.call('ZREM', KEYS[1], member) end
end
{_FORGET}
return gone
"""
_UNLOAD = f"""
local load = string.match(redis.call('GETRANGE', KEYS[3], 0, 20), '^%d+')
if load and load ~= ARGV[2] then redis.call('DEL', KEYS[3]) end
{_FORGET}
return 0
"""
_THERE = """
local there = {}
for place, key in ipairs(KEYS) do if redis.call('EXISTS', key) == 1 then table.insert(there, place - 1) end end
return there
"""


class RedisStore:
    """A `Store` at a Redis; `keep` events of each query."""

    def __init__(self, url: str, keep: int = KEEP, read: float = READ, write: float = WRITE) -> None:
        """read, write: seconds that each may take. Raises: StoreError where the address is none."""
        try:
            pool = client.BlockingConnectionPool.from_url(
                url,
                max_connections=_CONNECTIONS,
                timeout=None,  # to wait for a connection: the guards limit it
                decode_responses=True,
                socket_timeout=_SECONDS,
                socket_connect_timeout=_SECONDS,
                retry=Retry(NoBackoff(), 0),
            )
        except ValueError as error:
            raise StoreError(f"store: found {url!r}, expected redis://HOST:PORT/NUMBER: {error}") from None
        self._redis: Any = client.Redis.from_pool(pool)  # its types do not know that it decodes
        scripts = (_PRUNE, _UNLOAD, _THERE)
        self._prune, self._unload, self._there = (self._redis.register_script(script) for script in scripts)
        given, failures = pool.connection_kwargs, (RedisError, OSError, StoreError)
        where = given.get("path") or f"{given.get('host', 'localhost')}:{given.get('port', 6379)}"
        self._reads, self._writes = (Guard(f"redis at {where}", seconds, failures) for seconds in (read, write))
        self._keep, self._known = keep, False

    @classmethod
    async def open(cls, url: str, keep: int = KEEP, read: float = READ, write: float = WRITE) -> RedisStore:
        """A store whose layout was checked, if it is there. Raises: StoreError."""
        store = cls(url, keep, read, write)
        try:
            await asyncio.wait_for(store._check(), write)
        except (RedisError, OSError, asyncio.TimeoutError):
            pass  # it is checked when it is there
        except StoreError:
            await store.close()
            raise
        return store

    async def get(self, query: str) -> Stored | None:
        """As `Store` has it."""
        check_text("query", query)
        return await self._reads.call(lambda: self._get(query))

    async def add(self, events: Sequence[Event]) -> int:
        """As `Store` has it."""
        return await self._writes.call(lambda: self._add(events)) if events else 0

    async def put(self, query: str, features: Mapping[str, Any]) -> None:
        """As `Store` has it."""
        check_text("query", query)
        given = checked(features)
        await self._writes.call(lambda: self._put(query, given))

    async def load(self, rows: Iterable[tuple[str, QueryState]], until: int) -> int:
        """As `Store` has it."""
        given, count = iter(rows), 0
        try:
            await self._check()
            load = await self._begin_load(until)
            while part := await asyncio.to_thread(lambda: list(islice(given, _PART))):
                await self._load(part, load, until)
                count += len(part)
            await self._each(self._unload, str(load))
        except (RedisError, OSError) as error:
            raise StoreDown(f"store: redis: {error}") from error
        return count

    async def search(self, prefix: str, most: int) -> list[str]:
        """As `Store` has it."""
        check_text("prefix", prefix)
        start, end = f"[{prefix}".encode(), f"[{prefix}".encode() + b"\xff"
        return await self._reads.call(lambda: self._ready("zrangebylex", _IDS, start, end, 0, most))

    async def prune(self, before: int, seconds: float = 0) -> int:
        """As `Store` has it."""
        came = int((time.time() - seconds) * 1e6)
        try:
            return sum(await self._each(self._prune, f"{before + _OFFSET:016x}", str(came)))
        except (RedisError, OSError) as error:
            raise StoreDown(f"store: redis: {error}") from error

    async def ping(self) -> None:
        """As `Store` has it."""
        await self._reads.call(lambda: self._ready("ping"))

    async def close(self) -> None:
        """As `Store` has it."""
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    async def _ready(self, command: str, *arguments: Any) -> Any:
        await self._check()
        return await getattr(self._redis, command)(*arguments)

    async def _check(self) -> None:
        """Once: whether the layout is this one. Raises: StoreError, RedisError, OSError."""
        if not self._known:
            await self._redis.hsetnx(_META, "version", _VERSION)
            if (found := await self._redis.hget(_META, "version")) != _VERSION:
                raise StoreError(
                    f"store: redis holds version {found} of {_META}, expected {_VERSION}; use another number"
                )
            self._known = True

    async def _get(self, query: str) -> Stored | None:
        await self._check()
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.zrange(f"{_E}{query}", 0, -1)
            pipe.hgetall(f"{_F}{query}")
            pipe.get(f"{_L}{query}")
            members, features, loaded = await pipe.execute()
        if not (members or features or loaded):
            return None
        events = sorted((_pair(member) for member in members), key=lambda pair: pair[1])
        return Stored(events, {name: json.loads(text) for name, text in features.items()}, _loaded(loaded))

    async def _add(self, events: Sequence[Event]) -> int:
        await self._check()
        came, members = time.time_ns() // 1000, dict[str, dict[str, int]]()
        for place, event in enumerate(events):  # of two that are the same the first counts
            members.setdefault(event.query, {}).setdefault(_member(event.item, event.time), came + place)
        async with self._redis.pipeline(transaction=True) as pipe:
            for query, scores in members.items():
                pipe.zadd(f"{_E}{query}", scores, nx=True)
            for query in members:
                pipe.zremrangebyrank(f"{_E}{query}", 0, -self._keep - 1)
            pipe.zadd(_IDS, dict.fromkeys(members, 0))
            return sum((await pipe.execute())[: len(members)])

    async def _put(self, query: str, given: Mapping[str, Any]) -> None:
        await self._check()
        async with self._redis.pipeline(transaction=True) as pipe:
            for name, value in given.items():
                if value is None:
                    pipe.hdel(f"{_F}{query}", name)
                else:
                    pipe.hset(f"{_F}{query}", name, json.dumps(value))
            pipe.zadd(_IDS, {query: 0})
            await pipe.execute()

    async def _begin_load(self, until: int) -> int:
        """The number of this load. Raises: StoreError."""
        found = await self._redis.hget(_META, "until")
        if found is not None and int(found) > until:
            raise StoreError(f"store: holds what was known at {found}; found data that ends at {until}, expected later")
        await self._redis.hset(_META, "until", str(until))
        return await self._redis.hincrby(_META, "load", 1)

    async def _load(self, rows: Sequence[tuple[str, QueryState]], load: int, until: int) -> None:
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.mset({f"{_L}{query}": f"{load} {until} {encoded(state)}" for query, state in rows})
            pipe.zadd(_IDS, dict.fromkeys((query for query, _ in rows), 0))
            await self._there([f"{_E}{query}" for query, _ in rows], [], pipe)
            for place in (await pipe.execute())[-1]:  # few, as most queries did nothing since
                query, state = rows[place]
                for item, moment in zip(state.history, state.history_time, strict=True):
                    pipe.zrem(f"{_E}{query}", _member(item, moment))
            await pipe.execute()

    async def _each(self, script: Any, *arguments: str) -> list[Any]:
        """Run a script for every query there is; to what it said."""
        said, last = [], b"-"
        while ids := await self._redis.zrangebylex(_IDS, last, b"+", 0, _PART):
            async with self._redis.pipeline(transaction=False) as pipe:
                for query in ids:
                    await script([f"{_E}{query}", f"{_F}{query}", f"{_L}{query}", _IDS], [query, *arguments], pipe)
                said += await pipe.execute()
            last = f"({ids[-1]}".encode()
        return said


def _loaded(text: str | None) -> Loaded | None:
    if text is None:
        return None
    _, until, state = text.split(" ", 2)
    return Loaded(decoded(state), int(until))


def _member(item: str, moment: int) -> str:
    return f"{moment + _OFFSET:016x}{item}"


def _pair(member: str) -> tuple[str, int]:
    return member[16:], int(member[:16], 16) - _OFFSET

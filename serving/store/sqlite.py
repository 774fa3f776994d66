"""A store in one SQLite file, for one machine; several processes may use it at once.

Reads run in threads of their own. Writes wait for one thread, which commits all that came meanwhile together. The file
is in WAL mode with `synchronous = NORMAL`: what was acknowledged survives the process, however it ends, as the kernel
has it; a power failure may take what came since the last checkpoint (1,000 pages), and leaves a whole file. The event
log has those events still.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
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
    StoreUnusable,
)
from serving.store.file import File, Work
from serving.store.guard import Guard
from serving.store.values import check_text, checked, decoded, encoded
from serving.store.writer import Writer

_READERS = 2
_PART = 1000  # rows that are loaded or looked at in one transaction: writers of events wait for it
_LARGEST = "\U0010ffff"  # in UTF-8 behind every text


class SQLiteStore:
    """A `Store` in the file at `path`, which is made if there is none; `keep` events of each query."""

    def __init__(
        self, path: Path, keep: int = KEEP, read: float = READ, write: float = WRITE, patient: bool = False
    ) -> None:
        """read, write: seconds that each may take; patient: as `open_store` has it. Raises: StoreError."""
        self._file = File(path)
        try:
            self._file.make()
        except StoreUnusable:
            if not patient:
                raise
        self._keep = keep
        self._reads, self._writes = (Guard(str(path), seconds, (sqlite3.Error, OSError)) for seconds in (read, write))
        self._readers = ThreadPoolExecutor(_READERS, "store-read")
        self._writer = Writer(self._file)

    async def get(self, query: str) -> Stored | None:
        """As `Store` has it."""
        check_text("query", query)
        return await self._read(lambda connection: _stored(connection, query))

    async def add(self, events: Sequence[Event]) -> int:
        """As `Store` has it."""
        came = time.time_ns() // 1000
        rows = [(event.query, event.time, event.item, came + place) for place, event in enumerate(events)]
        return await self._write(lambda connection: _add(connection, rows, self._keep)) if rows else 0

    async def put(self, query: str, features: Mapping[str, Any]) -> None:
        """As `Store` has it."""
        check_text("query", query)
        given = checked(features)
        await self._write(lambda connection: _put(connection, query, given))

    async def load(self, rows: Iterable[tuple[str, QueryState]], until: int) -> int:
        """As `Store` has it."""
        given, count = iter(rows), 0
        load, posted = await self._at_leisure(lambda connection: _begin_load(connection, until))
        while part := await asyncio.to_thread(lambda: _rows(islice(given, _PART), load, until)):
            await self._at_leisure(partial(_load, rows=part, posted=posted))
            count += len(part)
        await self._at_leisure(lambda connection: _end_load(connection, load))
        return count

    async def search(self, prefix: str, most: int) -> list[str]:
        """As `Store` has it."""
        check_text("prefix", prefix)
        return await self._read(lambda connection: _search(connection, prefix, most))

    async def prune(self, before: int, seconds: float = 0) -> int:
        """As `Store` has it."""
        came = int((time.time() - seconds) * 1e6)
        after: str | None = ""
        count = 0
        while after is not None:
            gone, after = await self._at_leisure(partial(_prune, after=after, before=before, came=came))
            count += gone
        return count

    async def ping(self) -> None:
        """As `Store` has it."""
        await self._read(lambda connection: connection.execute("SELECT 1 FROM loads LIMIT 1").fetchall())

    async def close(self) -> None:
        """As `Store` has it."""
        await asyncio.to_thread(self._writer.stop)
        await asyncio.to_thread(self._readers.shutdown)
        self._file.close()

    async def _read(self, work: Work) -> Any:
        loop = asyncio.get_running_loop()
        return await self._reads.call(lambda: loop.run_in_executor(self._readers, self._file.read, work))

    async def _write(self, work: Work) -> Any:
        return await self._writes.call(lambda: asyncio.wrap_future(self._writer.do(work)))

    async def _at_leisure(self, work: Work) -> Any:
        """A write that nobody waits for. Raises: StoreDown."""
        try:
            return await asyncio.wrap_future(self._writer.do(work))
        except (sqlite3.Error, OSError) as error:
            raise StoreDown(f"store: {self._file.path}: {error}") from error


def _stored(connection: sqlite3.Connection, query: str) -> Stored | None:
    row = connection.execute("SELECT features, state, until FROM queries WHERE query = ?", (query,)).fetchone()
    events = connection.execute(
        "SELECT item, time FROM events WHERE query = ? ORDER BY time, came", (query,)
    ).fetchall()
    if row is None:
        return Stored(events) if events else None
    features, state, until = row
    return Stored(events, json.loads(features), Loaded(decoded(state), until) if state else None)


def _search(connection: sqlite3.Connection, prefix: str, most: int) -> list[str]:
    found: set[str] = set()
    for table in ("queries", "events"):
        rows = connection.execute(
            f"SELECT DISTINCT query FROM {table} WHERE query >= ? AND query < ? ORDER BY query LIMIT ?",
            (prefix, prefix + _LARGEST, most),
        )
        found.update(query for (query,) in rows)
    return sorted(found)[:most]


def _add(connection: sqlite3.Connection, rows: Sequence[tuple[str, int, str, int]], keep: int) -> int:
    before = connection.total_changes
    connection.executemany("INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?)", rows)
    added = connection.total_changes - before
    for query in dict.fromkeys(row[0] for row in rows):
        _shorten(connection, query, keep)
    return added


def _shorten(connection: sqlite3.Connection, query: str, keep: int) -> None:
    (events,) = connection.execute("SELECT count(*) FROM events WHERE query = ?", (query,)).fetchone()
    if events > keep:
        connection.execute(
            "DELETE FROM events WHERE query = ?1 AND (time, item) IN "
            "(SELECT time, item FROM events WHERE query = ?1 ORDER BY came LIMIT ?2)",
            (query, events - keep),
        )


def _put(connection: sqlite3.Connection, query: str, given: Mapping[str, Any]) -> None:
    row = connection.execute("SELECT features FROM queries WHERE query = ?", (query,)).fetchone()
    features = (json.loads(row[0]) if row else {}) | dict(given)
    text = json.dumps({name: value for name, value in features.items() if value is not None})
    connection.execute(
        "INSERT INTO queries (query, features) VALUES (?, ?) "
        "ON CONFLICT (query) DO UPDATE SET features = excluded.features",
        (query, text),
    )


def _prune(connection: sqlite3.Connection, after: str, before: int, came: int) -> tuple[int, str | None]:
    """Drop old events of some queries behind `after`; to their number, and the last of the queries, None at the end."""
    row = connection.execute(
        "SELECT query FROM events WHERE query > ? ORDER BY query LIMIT 1 OFFSET ?", (after, _PART)
    ).fetchone()
    last = row[0] if row else None
    gone = connection.execute(
        "DELETE FROM events WHERE query > ? AND query <= ? AND time < ? AND came <= ?",
        (after, b"" if last is None else last, before, came),  # every text is less than any bytes
    ).rowcount
    return gone, last


def _begin_load(connection: sqlite3.Connection, until: int) -> tuple[int, set[str]]:
    """The number of this load, and the queries with events. Raises: StoreError."""
    found = connection.execute("SELECT load, until FROM loads").fetchone() or (0, until)
    if found[1] > until:
        raise StoreError(f"store: holds what was known at {found[1]}; found data that ends at {until}, expected later")
    connection.execute("DELETE FROM loads")
    connection.execute("INSERT INTO loads VALUES (?, ?)", (found[0] + 1, until))
    return found[0] + 1, {query for (query,) in connection.execute("SELECT DISTINCT query FROM events")}


def _rows(rows: Iterable[tuple[str, QueryState]], load: int, until: int) -> list[tuple[str, str, int, int]]:
    """Rows as `_load` takes them."""
    return [(query, encoded(state), until, load) for query, state in rows]


def _load(connection: sqlite3.Connection, rows: Sequence[tuple[str, str, int, int]], posted: set[str]) -> None:
    connection.executemany(
        "INSERT INTO queries (query, state, until, load) VALUES (?, ?, ?, ?) ON CONFLICT (query) "
        "DO UPDATE SET state = excluded.state, until = excluded.until, load = excluded.load",
        rows,
    )
    for query, state, _, _ in rows:
        if query in posted:
            _, history, history_time = json.loads(state)
            pairs = ((query, moment, item) for item, moment in zip(history, history_time, strict=True))
            connection.executemany("DELETE FROM events WHERE query = ? AND time = ? AND item = ?", pairs)


def _end_load(connection: sqlite3.Connection, load: int) -> None:
    """Forget what earlier loads knew of queries that this one has not."""
    connection.execute("DELETE FROM queries WHERE load != ? AND features = '{}'", (load,))
    connection.execute("UPDATE queries SET state = NULL, until = NULL, load = NULL WHERE load != ?", (load,))

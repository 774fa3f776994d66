"""A store's SQLite file, and each thread's connection to it."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from serving.store.base import StoreError, StoreUnusable

_APPLICATION, _VERSION = 0x7477696E, 1  # "twin" in the file's header, and the version of these tables
_TABLES = """
CREATE TABLE events (
    query TEXT NOT NULL, time INTEGER NOT NULL, item TEXT NOT NULL, came INTEGER NOT NULL,
    PRIMARY KEY (query, time, item)
) WITHOUT ROWID;
CREATE TABLE queries (
    query TEXT PRIMARY KEY, features TEXT NOT NULL DEFAULT '{}', state TEXT, until INTEGER, load INTEGER
);
CREATE TABLE loads (load INTEGER PRIMARY KEY, until INTEGER NOT NULL);
"""
_WAL = 64 << 20  # bytes to which the log of writes is cut back

Work = Callable[[sqlite3.Connection], Any]


class File:
    """The file, and each thread's connection: opened again where it failed, or where another file stands there. A file
    that was good once is never made anew; before that one is, as soon as nothing else stands in its place."""

    def __init__(self, path: Path) -> None:
        self.path, self._made = path, False
        self._mine = threading.local()
        self._all: list[sqlite3.Connection] = []

    def make(self) -> None:
        """Make the file where there is none. Raises: StoreError."""
        with closing(opened(self.path, create=True)):
            self._made = True

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """This thread's. Raises: sqlite3.Error, OSError."""
        if not self._made:
            with self._explained():
                self.make()
        if (found := self._found()) != getattr(self._mine, "identity", None):
            self._drop()
            with self._explained():
                self._mine.connection = opened(self.path, create=False)
            self._mine.identity = found
            self._all.append(self._mine.connection)
        try:
            yield self._mine.connection
        except sqlite3.Error:
            self._drop()
            raise

    def read(self, work: Work) -> Any:
        """Do `work` on one snapshot. Raises: sqlite3.Error, OSError."""
        with self.connection() as connection:
            connection.execute("BEGIN")
            try:
                return work(connection)
            finally:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close every thread's connection, when no thread uses one any more."""
        while self._all:
            self._all.pop().close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """What is wrong with the file, as a failure of the store that is named before it. Raises: sqlite3.Error."""
        try:
            yield
        except StoreError as error:
            raise sqlite3.DatabaseError(str(error).removeprefix(f"store: {self.path} ")) from error

    def _found(self) -> tuple[int, int]:
        found = os.stat(self.path)
        return found.st_dev, found.st_ino

    def _drop(self) -> None:
        if (connection := getattr(self._mine, "connection", None)) is not None:
            self._mine.connection = self._mine.identity = None
            with suppress(ValueError):
                self._all.remove(connection)
            with suppress(sqlite3.Error):
                connection.close()


def opened(path: Path, create: bool) -> sqlite3.Connection:
    """A connection to a store's file. Raises: StoreError; StoreUnusable for what is wrong with the file itself, which
    then stays as it is.

    Nothing but SQLite may open the file: to close it gives up every lock that this process has on it, and the next
    process that closes the store takes itself for the last, and deletes the log that is being written to here.
    """
    _refuse_emptied(path)
    mode = "rwc" if create else "rw"
    try:
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False, timeout=1
        )
    except (sqlite3.Error, OSError) as error:
        raise StoreError(
            f"store: {path} cannot be opened: {error}; expected a file in a folder that is there"
        ) from None
    try:
        _refuse_cut(connection, path)
        _check(connection, path, create)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL}")
        connection.execute("PRAGMA busy_timeout = 0")
    except sqlite3.DatabaseError as error:
        connection.close()
        raise StoreUnusable(f"store: {path} cannot be used: {error}; expected a file that twinspire made") from None
    except StoreError:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection, path: Path, create: bool) -> None:
    """Make the tables in an empty file. Raises: StoreError, sqlite3.DatabaseError where it is no store."""
    if create and not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        if not connection.execute("SELECT 1 FROM sqlite_master").fetchone():  # nobody was faster
            for statement in _TABLES.split(";")[:-1]:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {_VERSION}")
        connection.execute("COMMIT")
    application, version = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    )
    if application != _APPLICATION:
        raise StoreUnusable(
            f"store: {path} is another program's SQLite file; expected one that twinspire made, or none"
        )
    if version != _VERSION:
        raise StoreUnusable(f"store: {path} has tables of version {version}, expected {_VERSION}; load a new store")


def _refuse_emptied(path: Path) -> None:
    """Beside an empty file SQLite deletes the log of writes, which may hold all that there is.

    Raises: StoreUnusable.
    """
    if _size(path) == 0 and _size(log := _log_of(path)):
        raise StoreUnusable(f"store: {path} is empty, and {log} is not; expected both as they were, or neither")


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _size(path: Path) -> int | None:
    """In bytes; None where nothing can be seen, of which SQLite says more."""
    try:
        return path.stat().st_size
    except OSError:
        return None


def _refuse_cut(connection: sqlite3.Connection, path: Path) -> None:
    """SQLite opens a file that lacks the end of its last page, and fails when it comes to it; of more it says so.

    Raises: StoreError, sqlite3.DatabaseError.
    """
    size, pages = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "page_count"))
    more = _size(_log_of(path))  # it may hold pages that are not in the file yet
    found = _size(path)
    if found is not None and not more and found < size * pages:
        raise StoreUnusable(f"store: {path} is cut off: found {found} bytes, expected {size * pages}; load a new store")

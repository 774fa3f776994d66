"""The one thread that writes to a store's file."""

from __future__ import annotations

import queue
import sqlite3
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from serving.store.base import StoreDown, StoreError
from serving.store.file import File, Work

_BUSY = 5.0  # seconds that other processes may write before this one gives up


class Writer:
    """The thread that writes."""

    def __init__(self, file: File) -> None:
        self._file = file
        self._jobs: queue.SimpleQueue[tuple[Work, Future[Any]] | None] = queue.SimpleQueue()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="store-write", daemon=True)
        self._thread.start()

    def do(self, work: Work) -> Future[Any]:
        """What `work` gives once it is committed; it runs with others in one transaction, and fails with them."""
        if self._stopped:
            raise StoreDown(f"store: {self._file.path} was closed")
        future: Future[Any] = Future()
        self._jobs.put((work, future))
        return future

    def stop(self) -> None:
        """Write what waits, and end."""
        self._stopped = True
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while jobs := self._waiting():
            # who gave up meanwhile is passed over
            asked = [(work, future) for work, future in jobs if future.set_running_or_notify_cancel()]
            try:
                answers = self._committed([work for work, _ in asked])
            except Exception as error:
                for _, future in asked:
                    future.set_exception(error)
            else:
                for (_, future), answer in zip(asked, answers, strict=True):
                    if isinstance(answer, StoreError):  # of one job, which wrote nothing
                        future.set_exception(answer)
                    else:
                        future.set_result(answer)

    def _waiting(self) -> list[tuple[Work, Future[Any]]]:
        """All that waits, at least one; nothing when it is time to stop."""
        jobs, job = [], self._jobs.get()
        while job is not None:
            jobs.append(job)
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return jobs
        if jobs:
            self._jobs.put(None)
        return jobs

    def _committed(self, works: Sequence[Work]) -> list[Any]:
        with self._file.connection() as connection:
            _begin(connection)
            try:
                answers = [_answer(work, connection) for work in works]
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise
            return answers


def _answer(work: Work, connection: sqlite3.Connection) -> Any:
    try:
        return work(connection)
    except StoreError as error:
        return error


def _begin(connection: sqlite3.Connection) -> None:
    """Start to write. SQLite's own waiting for others grows to steps of 100 ms: one that loads would go first again and
    again."""
    give_up = time.monotonic() + _BUSY
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > give_up:
                raise
        time.sleep(0.001)

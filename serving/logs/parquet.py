"""A log as Parquet files that others read while it is written."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ROWS, SECONDS = 10_000, 30.0
_MOST = 10  # times `rows` that may wait
_PART = 50  # rows that become columns at a time: the interpreter's lock is held meanwhile, a millisecond
_PAUSE = 0.01  # seconds between them, in which others have it

Row = Sequence[Any]


@dataclass(frozen=True)
class LogCounts:
    """What became of the rows of a log.

    written: in files; waiting: in memory; dropped: lost, as too many waited or they were no rows of this log; failures:
    writes that did not work and were tried again.
    """

    written: int
    waiting: int
    dropped: int
    failures: int


class ParquetLog:
    """Rows of one schema, as files in a folder. `append` may be called from any thread and never waits for the disk."""

    def __init__(self, folder: Path, schema: pa.Schema, rows: int = ROWS, seconds: float = SECONDS) -> None:
        self._folder, self._schema, self._rows, self._seconds = folder, schema, rows, seconds
        self._waiting: list[Row] = []
        self._written = self._dropped = self._failures = 0
        self._lock = threading.Lock()  # of what is counted and waits
        self._writing = threading.Lock()  # one file at a time
        self._due, self._closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-write", daemon=True)
        self._thread.start()

    @property
    def counts(self) -> LogCounts:
        """What became of the rows so far."""
        with self._lock:
            return LogCounts(self._written, len(self._waiting), self._dropped, self._failures)

    def append(self, rows: Sequence[Row]) -> int:
        """Take rows, whose values stand in the order of the schema; to how many there was room for."""
        with self._lock:
            taken = rows[: max(0, _MOST * self._rows - len(self._waiting))]
            self._waiting += taken
            self._dropped += len(rows) - len(taken)
            full = len(self._waiting) >= self._rows
        if full:
            self._due.set()
        return len(taken)

    def flush(self) -> bool:
        """Write all that waits now; to whether that worked."""
        with self._writing:
            try:
                while rows := self._waiting[:]:  # all of it: a disk that fell behind gets fewer, larger files
                    self._write(rows)
            except (OSError, pa.ArrowException):
                with self._lock:
                    self._failures += 1
                return False
            return True

    def close(self) -> None:
        """Write what waits, and end; what cannot be written is dropped."""
        self._closed.set()
        self._due.set()
        self._thread.join()
        if not self.flush():  # what came while the last file was written
            self._forget(self._waiting[:], written=False)

    def _run(self) -> None:
        pa.array([""])  # the first array brings pandas: now, not when the first file is due and lists are waited for
        while not self._closed.is_set():
            self._due.wait(self._seconds)
            self._due.clear()
            if not self.flush():
                self._closed.wait(min(1.0, self._seconds))  # a full disk is not tried at every row

    def _write(self, rows: Sequence[Row]) -> None:
        """Into a file, and out of memory. Raises: OSError, pa.ArrowException."""
        try:
            table = self._table(rows)
        except Exception:  # they will be no rows of this log the next time either
            self._forget(rows, written=False)
        else:
            self._write_file(table)
            self._forget(rows, written=True)

    def _forget(self, rows: Sequence[Row], written: bool) -> None:
        with self._lock:
            del self._waiting[: len(rows)]
            self._written += len(rows) if written else 0
            self._dropped += 0 if written else len(rows)

    def _write_file(self, table: pa.Table) -> None:
        """One file, whole and on the disk or not there. Raises: OSError, pa.ArrowException."""
        self._folder.mkdir(parents=True, exist_ok=True)
        moment = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S")
        path = self._folder / f"{moment}-{uuid.uuid4().hex}.parquet"
        partial = path.with_name(f".{path.name}.partial")
        try:
            with partial.open("wb") as file:
                pq.write_table(table, file)
                file.flush()
                os.fsync(file.fileno())
            partial.rename(path)
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)

    def _table(self, rows: Sequence[Row]) -> pa.Table:
        batches = []
        for start in range(0, len(rows), _PART):
            columns = zip(zip(*rows[start : start + _PART], strict=True), self._schema, strict=True)
            arrays = [pa.array(column, field.type) for column, field in columns]
            batches.append(pa.record_batch(arrays, schema=self._schema))
            self._closed.wait(_PAUSE)
        return pa.Table.from_batches(batches)

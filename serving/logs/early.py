"""The log of events that came before any version was loaded, whose config says what the event log's columns are called.

They wait in files of their own, and go into the event log once there is one.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from serving.logs.parquet import ROWS, SECONDS, LogCounts, ParquetLog
from serving.store.base import Event

_log = logging.getLogger("twinspire.logs")
_EARLY = pa.schema(
    [
        ("query", pa.string()),
        ("item", pa.string()),
        ("time", pa.int64()),
        ("kind", pa.string()),
        ("value", pa.float64()),
        ("rating", pa.float64()),
        ("context", pa.string()),  # JSON
    ]
)


class EarlyLog:
    """Events as they came."""

    def __init__(self, folder: Path, rows: int = ROWS, seconds: float = SECONDS) -> None:
        """rows, seconds: as `ParquetLog` has them."""
        self._log = ParquetLog(folder, _EARLY, rows, seconds)

    @property
    def counts(self) -> LogCounts:
        """What became of the events so far."""
        return self._log.counts

    def append(self, events: Sequence[Event]) -> int:
        """Log events; to how many there was room for."""
        return self._log.append([_row(event) for event in events])

    def close(self) -> None:
        """Write what waits, and end."""
        self._log.close()


def hand_over_early(folder: Path, keep: Callable[[list[Event]], bool]) -> None:
    """Give the events of each file to `keep`, until it says that it could not keep them: a file goes once it has them
    on the disk. Who is killed in between leaves events that are kept twice; that is less than those that are lost.

    Of several servers that share the folder one has a file at a time. A file that cannot be read stays where it is.
    """
    paths = sorted(folder.glob("[!.]*.parquet"))
    if paths and not os.access(folder, os.W_OK):  # no file could go, and each start would keep them once more
        _log.error("early events in %s wait until the folder can be written", folder)
        return
    for path in paths:
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # let go of when the file is closed, or by the kernel
                path.stat()
                if (events := _read(path)) is None:
                    continue
                if not keep(events):
                    return
                path.unlink()
        except (FileNotFoundError, BlockingIOError):  # another server had it, or has it
            continue
        except OSError as error:
            _log.error("early events in %s cannot be taken: %s", path, error)


def _read(path: Path) -> list[Event] | None:
    try:
        with pq.ParquetFile(path) as file:
            return [_event(row) for row in file.read().to_pylist()]
    except (OSError, ValueError, TypeError, pa.ArrowException) as error:
        _log.error("early events in %s cannot be read: %s", path, error)
        return None


def _row(event: Event) -> tuple[object, ...]:
    said = json.dumps(dict(event.context))
    return event.query, event.item, event.time, event.kind, event.value, event.rating, said


def _event(row: dict[str, object]) -> Event:
    return Event(**{**row, "context": json.loads(str(row["context"]))})  # type: ignore[arg-type]

"""The log of events that came before any version was loaded, whose config says what the event log's columns are called.

They wait in files of their own, and go into the event log once there is one.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
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


def take_early(folder: Path) -> Iterator[list[Event]]:
    """The events of each file, which is gone by then: of several servers that share the folder one has them. A file
    that cannot be read stays where it is."""
    for path in sorted(folder.glob("[!.]*.parquet")):
        try:
            with pq.ParquetFile(path) as file:
                events = [_event(row) for row in file.read().to_pylist()]
            path.unlink()
        except FileNotFoundError:  # another server has them
            continue
        except (OSError, ValueError, TypeError, pa.ArrowException) as error:
            _log.error("early events in %s cannot be read: %s", path, error)
            continue
        yield events


def _row(event: Event) -> tuple[object, ...]:
    said = json.dumps(dict(event.context))
    return event.query, event.item, event.time, event.kind, event.value, event.rating, said


def _event(row: dict[str, object]) -> Event:
    return Event(**{**row, "context": json.loads(str(row["context"]))})  # type: ignore[arg-type]

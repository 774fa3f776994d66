"""The log of exposures: which lists were shown to whom."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from serving.logs.parquet import ROWS, SECONDS, LogCounts, ParquetLog

NOT_SERVED = "arm"
"""The reason of a list of the stable version where the one of its user's arm was not served."""


@dataclass(frozen=True)
class Exposure:
    """One answered list.

    request: its id; time: when it was asked for, on the events' time axis; version: the one that was asked; source: who
    made the list ("model", "popularity", "fallback"); reason: why it was not the model, or `NOT_SERVED`; arms: the arm
    by experiment; propensities: how likely each item was to stand where it does, None where the list was not drawn at
    random; seconds: to the answer.
    """

    request: str
    query: str | None
    time: int
    model: str
    version: int
    source: str
    items: Sequence[str]
    scores: Sequence[float]
    seconds: float
    reason: str = ""
    arms: Mapping[str, str] | None = None
    propensities: Sequence[float] | None = None


_EXPOSURES = pa.schema(
    [
        ("logged_at", pa.int64()),  # unix microseconds
        ("request", pa.string()),
        ("query", pa.string()),
        ("time", pa.int64()),
        ("model", pa.string()),
        ("version", pa.int64()),
        ("source", pa.string()),
        ("reason", pa.string()),
        ("arms", pa.map_(pa.string(), pa.string())),
        ("items", pa.list_(pa.string())),
        ("scores", pa.list_(pa.float32())),
        ("propensities", pa.list_(pa.float64())),
        ("seconds", pa.float64()),
    ]
)


class ExposureLog:
    """What was shown to whom, one row a list."""

    def __init__(self, folder: Path, rows: int = ROWS, seconds: float = SECONDS) -> None:
        """rows, seconds: as `ParquetLog` has them."""
        self._log = ParquetLog(folder, _EXPOSURES, rows, seconds)

    @property
    def counts(self) -> LogCounts:
        """What became of the rows so far."""
        return self._log.counts

    def append(self, shown: Exposure) -> int:
        """Log one list; to whether there was room for it."""
        row = (
            time.time_ns() // 1000,
            shown.request,
            shown.query,
            shown.time,
            shown.model,
            shown.version,
            shown.source,
            shown.reason,
            tuple((shown.arms or {}).items()),
            shown.items,
            shown.scores,
            shown.propensities,
            shown.seconds,
        )
        return self._log.append([row])

    def flush(self) -> bool:
        """Write all that waits now; to whether that worked."""
        return self._log.flush()

    def close(self) -> None:
        """Write what waits, and end."""
        self._log.close()

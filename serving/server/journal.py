"""What a server writes down: events, for the next run to train on, and which lists it answered."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from configs.schema import Config
from configs.serving import Logs
from serving.logs import EventLog, Exposure, ExposureLog, LogCounts
from serving.server.metrics import Metrics
from serving.store.base import Event

EVENTS, EXPOSURES = "events", "exposures"  # folders of the logs


class Journal:
    """The two logs, or neither where none are kept. Columns of events are those of the config that is served."""

    def __init__(self, logs: Logs | None, metrics: Metrics) -> None:
        self._logs, self._metrics = logs, metrics
        self._exposures = ExposureLog(Path(logs.folder) / EXPOSURES, logs.rows, logs.seconds) if logs else None
        self._events: EventLog | None = None
        self._config: Config | None = None
        self._before = {EVENTS: 0, EXPOSURES: 0}  # rows that were dropped, as counted already

    def serve(self, config: Config) -> None:
        """Write events as this config names them from now on."""
        if self._logs is None or (self._config and _columns(self._config) == _columns(config)):
            return
        if self._events is not None:  # what waits is written meanwhile, without holding up who asks for lists
            threading.Thread(target=self._events.close, name="log-close").start()
        self._events = EventLog(config, Path(self._logs.folder) / EVENTS, self._logs.rows, self._logs.seconds)
        self._config, self._before[EVENTS] = config, 0

    def add(self, events: Sequence[Event]) -> None:
        """Log events. Raises: ValueError that names the value which does not fit its column."""
        if self._events is not None:
            self._events.append(events)
            self._count(EVENTS, self._events.counts)

    def shown(self, exposure: Exposure) -> None:
        """Log a list."""
        if self._exposures is not None:
            self._exposures.append(exposure)
            self._count(EXPOSURES, self._exposures.counts)

    def flush(self) -> None:
        """Write all that waits."""
        for log in (self._events, self._exposures):
            if log is not None:
                log.flush()

    def close(self) -> None:
        """Write all that waits, and end."""
        for log in (self._events, self._exposures):
            if log is not None:
                log.close()

    def _count(self, log: str, counts: LogCounts) -> None:
        self._metrics.dropped.labels(log).inc(counts.dropped - self._before[log])
        self._before[log] = counts.dropped


def _columns(config: Config) -> tuple[object, ...]:
    return config.data.events, config.on("events")

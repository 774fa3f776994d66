"""What a server writes down: events, for the next run to train on, and which lists it answered."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

from configs.schema import Config
from configs.serving import Logs
from serving.logs import EarlyLog, EventLog, Exposure, ExposureLog, LogCounts, hand_over_early
from serving.server.metrics import Metrics
from serving.store.base import Event

EVENTS, EXPOSURES, EARLY = "events", "exposures", "early"  # folders of the logs
_AGAIN = 1.0  # seconds after which a disk that could not be written is tried again
_log = logging.getLogger("twinspire.journal")


class Journal:
    """The two logs, or neither where none are kept. Columns of events are those of the config that is served; events
    that come before there is one wait in files of their own."""

    def __init__(self, logs: Logs | None, metrics: Metrics) -> None:
        self._logs, self._metrics = logs, metrics
        self._exposures = ExposureLog(Path(logs.folder) / EXPOSURES, logs.rows, logs.seconds) if logs else None
        self._events: EventLog | EarlyLog | None = None
        self.config: Config | None = None  # of the log of events
        self._before = {EVENTS: 0, EXPOSURES: 0}  # rows that were dropped, as counted already
        self._closing = threading.Event()
        self._handing: list[threading.Thread] = []  # what an older log holds over to files, or to the newer one

    def serve(self, config: Config) -> None:
        """Write events as this config names them from now on."""
        if self._logs is None or (self.config and _columns(self.config) == _columns(config)):
            return
        before, counted = self._events, self._before[EVENTS]
        log = EventLog(config, Path(self._logs.folder) / EVENTS, self._logs.rows, self._logs.seconds)
        self._events, self.config, self._before[EVENTS] = log, config, 0
        # what waits is written meanwhile, without holding up who asks for lists
        self._handing = [one for one in self._handing if one.is_alive()]
        given = (before, counted, self._logs, log)
        self._handing.append(threading.Thread(target=self._hand_over, args=given, name="log-hand-over"))
        self._handing[-1].start()

    def add(self, events: Sequence[Event]) -> None:
        """Log events. Raises: ValueError that names the value which does not fit its column."""
        if self._logs is None:
            return
        if self._events is None:
            self._events = EarlyLog(Path(self._logs.folder) / EARLY, self._logs.rows, self._logs.seconds)
        self._events.append(events)
        self._count(EVENTS, self._events.counts)

    def shown(self, exposure: Exposure) -> None:
        """Log a list."""
        if self._exposures is not None:
            self._exposures.append(exposure)
            self._count(EXPOSURES, self._exposures.counts)

    def close(self) -> None:
        """Write all that waits, and end."""
        self._closing.set()
        for thread in self._handing:
            thread.join()
        for name, log in ((EVENTS, self._events), (EXPOSURES, self._exposures)):
            if log is not None:
                self._before[name] = self._end(name, log, self._before[name])

    def _end(self, name: str, log: EventLog | EarlyLog | ExposureLog, counted: int) -> int:
        """Close a log of whose dropped rows so many are counted; to how many there were at last."""
        waited, before = log.counts.waiting, log.counts.dropped
        log.close()
        dropped = log.counts.dropped
        if dropped > before:
            _log.error(
                "the log of %s could not be written at its end: %d of %d rows are lost", name, dropped - before, waited
            )
        self._metrics.dropped.labels(name).inc(dropped - counted)
        return dropped

    def _hand_over(self, before: EventLog | EarlyLog | None, counted: int, logs: Logs, log: EventLog) -> None:
        """Close the log before, and log the events that came before there was a config: also those of other starts."""
        if before is not None:
            self._end(EVENTS, before, counted)

        def keep(events: Sequence[Event]) -> bool:
            logged = 0
            for start in range(0, len(events), logs.rows):  # never more than there is room for
                if not self._flushed(log):
                    return False
                logged += log.append_fitting(events[start : start + logs.rows])
            if not self._flushed(log):
                return False
            _log.info("%d of %d events were logged that came before there was a version", logged, len(events))
            self._metrics.dropped.labels(EVENTS).inc(len(events) - logged)
            return True

        hand_over_early(Path(logs.folder) / EARLY, keep)

    def _flushed(self, log: EventLog) -> bool:
        """Write what waits, as soon as that is possible; False where this ends before."""
        while not log.flush():
            if self._closing.wait(_AGAIN):
                return False
        return True

    def _count(self, log: str, counts: LogCounts) -> None:
        self._metrics.dropped.labels(log).inc(counts.dropped - self._before[log])
        self._before[log] = counts.dropped


def _columns(config: Config) -> tuple[object, ...]:
    return config.data.events, config.on("events")

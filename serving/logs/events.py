"""The log of events, which the next run trains on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa

from configs.features import Feature
from configs.schema import Config
from serving.logs.parquet import ROWS, SECONDS, LogCounts, ParquetLog
from serving.store.base import Event
from serving.store.values import check_text

_FIRST, _LAST = (int(datetime(year, 1, 1, tzinfo=timezone.utc).timestamp()) for year in (1, 9999))
_MOMENT = pa.timestamp("ms", tz="UTC")  # Parquet knows no seconds
_LARGEST = 1e38  # what `pipelines.feature_columns` takes


class EventLog:
    """Events as `data.events.logged` reads them: columns called as the config calls them, times as timestamps (UTC) so
    that no unit can be mistaken, or as numbers where the data has an order and no clock."""

    def __init__(self, config: Config, folder: Path, rows: int = ROWS, seconds: float = SECONDS) -> None:
        """rows, seconds: as `ParquetLog` has them."""
        self._columns = _event_columns(config)
        self._features = _feature_columns(config)
        self._clock = config.data.events.time is not None
        schema = pa.schema([(name, column.type) for name, column in self._columns.items()])
        self._log = ParquetLog(folder, schema, rows, seconds)

    @property
    def counts(self) -> LogCounts:
        """What became of the events so far."""
        return self._log.counts

    def append(self, events: Sequence[Event]) -> int:
        """Log events, all or none; to how many there was room for. Raises: ValueError that names the value which does
        not fit its column."""
        rows = [tuple(column.value(event) for column in self._columns.values()) for event in events]
        if self._clock:
            for event in events:
                if not _FIRST <= event.time < _LAST:
                    raise ValueError(f"time: found {event.time}, expected unix seconds of the years 1 to 9998")
        return self._log.append(rows)

    def append_fitting(self, events: Sequence[Event]) -> int:
        """Log what fits of events that nobody held against the config: features of theirs that it does not have, or
        has otherwise, count as not said; to how many events could be logged so."""
        fitting = 0
        for event in events:
            with suppress(ValueError):
                self.append([replace(event, context=self._fitting(event))])
                fitting += 1
        return fitting

    def _fitting(self, event: Event) -> dict[str, Any]:
        found = {}
        for name, value in event.context.items():
            with suppress(KeyError, ValueError):
                self._features[name].value(event)
                found[name] = value
        return found

    def flush(self) -> bool:
        """Write all that waits now; to whether that worked."""
        return self._log.flush()

    def close(self) -> None:
        """Write what waits, and end."""
        self._log.close()


@dataclass(frozen=True)
class _Column:
    """A column of the log: its type, and its value in an event."""

    type: pa.DataType
    value: Callable[[Event], Any]


def _event_columns(config: Config) -> dict[str, _Column]:
    """By name. A feature may read a column of the event itself, whose value then is the event's."""
    section = config.data.events
    sources = {feature.name: feature.source_column for feature in config.on("events")}
    columns = {sources[name]: column for name, column in _feature_columns(config).items()}
    columns |= {
        section.query: _Column(pa.string(), lambda event: event.query),
        section.item: _Column(pa.string(), lambda event: event.item),
    }
    if section.time:
        columns[section.time] = _Column(_MOMENT, lambda event: event.time * 1000)
    if section.order:
        columns[section.order] = _Column(pa.int64(), lambda event: event.time)
    if section.kind:
        columns[section.kind] = _Column(pa.string(), lambda event: event.kind)
    for name, of in (("value", lambda event: event.value), ("rating", lambda event: event.rating)):
        if (column := getattr(section, name)) is not None:
            columns[column] = _Column(pa.float64(), of)
    return columns


def _feature_columns(config: Config) -> dict[str, _Column]:
    """By the feature's name."""
    return {
        feature.name: _feature_column(feature)
        for feature in config.on("events")
        if feature.kind != "time" or feature.column is not None
    }


def _feature_column(feature: Feature) -> _Column:
    """What a request says of a feature, as its kind reads it; null where it says nothing."""
    type_, read = _READ.get(feature.kind, (pa.string(), _text))

    def value(event: Event) -> Any:
        found = event.context.get(feature.name)
        if found is None and (feature.kind != "number" or feature.missing is not None):
            return None
        try:
            return read(feature, found)
        except (TypeError, ValueError, OverflowError):
            expected = _EXPECTED.get(feature.kind, "text")
            raise ValueError(f"{feature.name}: found {found!r}, expected {expected}") from None

    return _Column(type_, value)


def _text(feature: Feature, value: Any) -> str:
    if feature.kind == "multi_category" and isinstance(value, (list, tuple)):
        value = feature.separator.join(map(str, value))
    check_text(feature.name, str(value))
    return str(value)


def _number(feature: Feature, value: Any) -> float:
    number = float(value)
    if not abs(number) <= _LARGEST or (getattr(feature, "log", False) and number <= -1):
        raise ValueError
    return number


def _numbers(feature: Feature, value: Any) -> list[float]:
    numbers = [_number(feature, number) for number in value]
    if len(numbers) != getattr(feature, "width", None):
        raise ValueError
    return numbers


def _moment(feature: Feature, value: Any) -> int:
    """Unix seconds as milliseconds."""
    if not _FIRST <= int(value) < _LAST:
        raise ValueError
    return int(value) * 1000


# by kind, the type and how it is read; what the others read is text
_READ = {
    "number": (pa.float64(), _number),
    "vector": (pa.list_(pa.float32()), _numbers),
    "time": (_MOMENT, _moment),
}
_EXPECTED = {
    "number": "a finite number, above -1 where it has log = true",
    "vector": "as many finite numbers as it is wide",
    "time": "unix seconds of the years 1 to 9998",
}

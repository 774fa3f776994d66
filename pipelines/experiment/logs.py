"""A server's logs, read unit by unit: who was in which arm from when on, and what they did then and before.

A unit is a query. It counts from its first list on that names the experiment (an exposure) and is what an event of it
is measured from: at or after it is outcome, before it is the pre-period. Units that were not exposed count for nothing,
whatever their arm would have been, and neither does an arm that nobody could have seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import ibis
import numpy as np
import pandas as pd

from configs.data import EventTable
from configs.errors import DataError
from pipelines.normalise import as_clock, as_number, as_text
from pipelines.sources.files import open_table
from serving.logs import NOT_SERVED

EXPOSURES, EVENTS = "exposures", "events"
"""Folders of a server's logs."""
COLUMNS = EventTable(query="query", item="item", time="time", meaning="as written by a server")
_NEEDED = ("query", "time", "source", "arms", "items", "seconds")
_EVERYONE = "everyone"


@dataclass(frozen=True)
class Units:
    """Exposed units: arm [n] str, first [n] int64 on the events' time axis, and of their lists how many, the seconds
    that they took together, how many were fallback answers, and how many the stable version answered as the arm's own
    was not served, float64 [n].

    several: units that were left out for having been in more than one arm; nameless: lists without a query id.
    """

    arm: np.ndarray
    first: np.ndarray
    lists: np.ndarray
    seconds: np.ndarray
    fallback: np.ndarray
    not_served: np.ndarray
    several: int
    nameless: int

    def __len__(self) -> int:
        return len(self.arm)


@dataclass(frozen=True)
class Outcomes:
    """What each unit did from its first exposure on, and before it, float64 [n]: events, the sum of their values, and
    events with an item that it had been shown."""

    events: np.ndarray
    value: np.ndarray
    taken: np.ndarray
    before: np.ndarray
    value_before: np.ndarray


@dataclass(frozen=True)
class Log:
    """experiment: None where units are taken together; outcomes: by kind of event, None for all kinds; days: from the
    first exposure to the end of the log; span: the same from the first list of the log, whoever's and whenever; open:
    units left out because their window had not ended."""

    experiment: str | None
    units: Units
    outcomes: dict[str | None, Outcomes]
    days: float
    span: float
    open: int


@dataclass(frozen=True)
class Reading:
    """What to read, and how.

    exposures: file, folder or glob; events: as many of them as there are, put together as they are, or none to do
    without; columns: which column of events is what; kinds: of events that metrics ask for; window: seconds after a
    unit's first exposure that count, to the end of the log where None, and units whose window has not ended are left
    out; before: seconds before it that count as pre-period; last: only exposures of so many seconds before the end.
    """

    exposures: Path
    events: tuple[Path, ...]
    columns: EventTable = COLUMNS
    kinds: Sequence[str | None] = (None,)
    window: int | None = None
    before: int = 14 * 86400
    last: int | None = None


def reading(logs: Path, events: Sequence[Path] = (), **settings: Any) -> Reading:
    """Of a server's folder of logs, or of exposures alone with events elsewhere."""
    inside = logs / EVENTS
    exposures = logs / EXPOSURES if (logs / EXPOSURES).is_dir() else logs
    return Reading(exposures, tuple(events) or ((inside,) if inside.is_dir() else ()), **settings)


def read(asked: Reading, experiment: str | None, everyone: bool = False) -> Log:
    """Units of an experiment (the only one of the log where None; or everyone, without arms), and what they did.

    Raises: DataError.
    """
    with engine() as backend:
        lists = _lists(backend, asked.exposures)
        began, end = _times(lists)
        if asked.last is not None:
            lists = lists.filter(lists.time >= end - asked.last)
        name = None if everyone else _experiment(lists, experiment)
        arm = ibis.literal(_EVERYONE) if name is None else lists.arms.get(name)
        exposed = lists.mutate(arm=arm).filter(lambda t: t.arm.notnull())
        exposed = backend.create_table("exposed", exposed, temp=True)
        events = events_table(backend, asked) if asked.events else None
        if events is not None:
            end = max(end, _times(events)[1])
        units = _units(exposed)
        left = units if asked.window is None else units[units["first"] + asked.window <= end]
        alone = left[left["arms"] == 1].reset_index(drop=True)
        if not len(alone):
            raise DataError(f"{asked.exposures}: no unit is left to compare; found {len(units):,} that were exposed")
        known = ibis.memtable(alone[["query", "first"]].assign(row=np.arange(len(alone))))
        outcomes = {}
        if events is not None:
            shown = _shown(exposed)
            outcomes = {kind: _outcomes(known, events, shown, kind, asked, len(alone)) for kind in set(asked.kinds)}
        nameless = int(exposed["query"].isnull().sum().to_pyarrow().as_py() or 0)
    found = Units(
        alone["arm"].to_numpy(object),
        alone["first"].to_numpy(np.int64),
        alone["lists"].to_numpy(np.float64),
        alone["seconds"].to_numpy(np.float64),
        alone["fallback"].to_numpy(np.float64),
        alone["not_served"].to_numpy(np.float64),
        int((left["arms"] > 1).sum()),
        nameless,
    )
    days, span = ((end - start) / 86400 for start in (int(units["first"].min()), began))
    return Log(name, found, outcomes, days, span, len(units) - len(left))


@contextmanager
def engine() -> Iterator[Any]:
    """An embedded DuckDB, whose errors are of the logs."""
    backend = ibis.duckdb.connect(":memory:")
    try:
        backend.raw_sql("SET TimeZone = 'UTC'")
        yield backend
    except duckdb.Error as error:
        raise DataError(f"logs: they cannot be read: {str(error).splitlines()[0]}") from error
    finally:
        backend.disconnect()


def open_logged(backend: Any, where: Path, key: str, needed: Sequence[str]) -> Any:
    """One table with the columns that are needed. A folder is read with all that stand below it: a log may have a
    folder a day. Raises: DataError."""
    below = where / "**" / "*.parquet"
    if where.is_dir() and not any(where.rglob("*.parquet")):
        raise DataError(f"{key}: {where} holds no Parquet file; expected a server's log")
    table = open_table(backend, below if where.is_dir() else where, key)
    missing = [name for name in needed if name not in table.columns]
    if missing:
        found = ", ".join(table.columns)
        raise DataError(f"{key}: {where} has no column {missing[0]!r}; expected {', '.join(needed)}; found {found}")
    return table


def _lists(backend: Any, where: Path) -> Any:
    table = open_logged(backend, where, "exposures", _NEEDED)
    reason = table.reason if "reason" in table.columns else ibis.literal("")  # of logs that others wrote
    return table.select(*_NEEDED, reason=reason).mutate(time=as_number(table.time).cast("int64"))


def _times(table: Any) -> tuple[int, int]:
    """The first and the last."""
    found = table.aggregate(first=table.time.min(), last=table.time.max()).to_pyarrow().to_pylist()[0]
    if found["first"] is None:
        raise DataError("logs: found no row with a time")
    return found["first"], found["last"]


def _experiment(lists: Any, asked: str | None) -> str:
    """The experiment that is asked for, or the only one there is."""
    named = lists.select(name=lists.arms.keys().unnest()).distinct().order_by("name").to_pyarrow()["name"].to_pylist()
    if asked is None and len(named) == 1:
        return named[0]
    if asked is not None and asked in named:
        return asked
    found = ", ".join(named) or "none"
    raise DataError(f"--experiment: found {asked!r}; expected one that the log names: {found}")


def _units(exposed: Any) -> pd.DataFrame:
    """One row a query, in order of first exposure."""
    named = exposed.filter(exposed["query"].notnull())
    grouped = named.group_by("query").agg(
        first=named.time.min(),
        arm=named.arm.min(),
        arms=named.arm.nunique(),
        lists=named.count(),
        seconds=named.seconds.sum(),
        fallback=(named.source == "fallback").cast("int64").sum(),
        not_served=(named.reason == NOT_SERVED).fill_null(False).cast("int64").sum(),
    )
    return grouped.order_by("first", "query").to_pandas()


def _shown(exposed: Any) -> Any:
    """When a query was first shown an item."""
    places = exposed.select("query", "time", item=exposed["items"].unnest())
    return places.group_by("query", "item").agg(shown=places.time.min())


def events_table(backend: Any, asked: Reading) -> Any:
    """query, item (str), time (int64), value (0 where there is none) and kind (str, where there is one).

    Raises: DataError.
    """
    parts = [_events(backend, where, asked) for where in asked.events]
    return backend.create_table("events", ibis.union(*parts) if len(parts) > 1 else parts[0], temp=True)


def _events(backend: Any, where: Path, asked: Reading) -> Any:
    columns = asked.columns
    if columns.time is None:
        raise DataError("events: data.events has an order and no clock; expected times, as experiments last for days")
    table = open_logged(backend, where, "events", (columns.query, columns.item, columns.time))
    kind = columns.kind or ("kind" if "kind" in table.columns else None)
    value = columns.value or ("value" if "value" in table.columns else None)
    for name, option in ((columns.kind, "kind"), (columns.value, "value")):
        if name is not None and name not in table.columns:
            raise DataError(f"events: {where} has no column {name!r}, which data.events.{option} names")
    if kind is None and set(asked.kinds) != {None}:
        raise DataError(f"events: {where} has no column of kinds; expected metrics without one")
    return table.select(
        query=as_text(table[columns.query]),
        item=as_text(table[columns.item]),
        time=as_clock(table[columns.time], columns.time_unit),
        value=as_number(table[value]).fill_null(0.0) if value else ibis.literal(0.0),
        kind=as_text(table[kind]) if kind else ibis.null("string"),
    )


def _outcomes(known: Any, events: Any, shown: Any, kind: str | None, asked: Reading, units: int) -> Outcomes:
    """Sums by unit; a query without events has zeros."""
    if kind is not None:
        events = events.filter(events.kind == kind)
    joined = events.join(known, "query")
    after = joined.time >= joined.first
    if asked.window is not None:
        after &= joined.time < joined.first + asked.window
    before = (joined.time < joined.first) & (joined.time >= joined.first - asked.before)
    joined = joined.mutate(after=after.cast("int64"), before=before.cast("int64"))
    joined = joined.left_join(shown, ["query", "item"])
    taken = (joined.after == 1) & (joined.shown <= joined.time)
    sums = joined.group_by("row").agg(
        events=joined.after.sum(),
        value=(joined.after * joined.value).sum(),
        taken=taken.fill_null(False).cast("int64").sum(),
        before=joined.before.sum(),
        value_before=(joined.before * joined.value).sum(),
    )
    found = sums.to_pandas()
    columns = {}
    for name in ("events", "value", "taken", "before", "value_before"):
        columns[name] = np.zeros(units)
        columns[name][found["row"].to_numpy()] = found[name]
    return Outcomes(**columns)

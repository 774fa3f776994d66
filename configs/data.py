"""The config of the data: where the tables are, which column is what, and how rows are accepted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from configs.units import Count, Number, Section, Whole

FILTER = "filter_"  # before the name of a filter: its column of the prepared items, its input of a signature
SEPARATOR = "|"  # between the values that an item has of one filter
_LEAST, _MOST = 1e-9, 1e9  # strength of a kind: tables hold it as float32, in which sums of many must fit as well


class EventTable(Section):
    """Where the observed events are and which column is what."""

    path: str | None = None  # file or glob, Parquet or CSV, or a file of sequences; relative to data.path
    query: str  # who is recommended to: a user, session, household or device
    item: str
    time: str | None = None  # a clock: a timestamp, ISO text, or a number in `time_unit`
    order: str | None = None  # instead of a clock: a number that orders all events of the log
    time_unit: Literal["s", "ms", "us", "ns"] = "s"
    kind: str | None = None  # column that says what kind of event a row is
    weights: dict[str, Number] = Field(default={})  # strength of each kind; kinds not named are set aside
    value: str | None = None  # column with what an event was worth, a number from 0 on; missing: as its kind alone
    rating: str | None = None  # column with an explicit rating, a number; missing where an event has none
    logged: str | None = None  # folder of events that a server logged, read beside the others; relative to data.path
    meaning: str  # what one row means, and what a missing one means

    @model_validator(mode="after")
    def _one_axis(self) -> EventTable:
        if (self.time is None) == (self.order is None):
            raise ValueError("name exactly one of time (a clock) and order (a sequence number)")
        if bool(self.weights) != (self.kind is not None):
            raise ValueError("kind and weights go together: the column, and a strength for each value")
        if any(not _LEAST <= weight <= _MOST for weight in self.weights.values()):
            raise ValueError(
                f"weights must be above 0, from {_LEAST:g} to {_MOST:g}, found {self.weights}; "
                "leave a kind out to drop it"
            )
        return self


class ItemTable(Section):
    """The catalogue. Without a path, the items are those seen in the events."""

    path: str | None = None
    id: str
    title: str | None = None  # shown to people; the id is shown where there is none
    available_from: str | None = None  # when an item enters the catalogue, on the events' time axis
    # columns whose values a request may insist on, such as in_stock or region; several values are joined by "|"
    filters: tuple[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")], ...] = ()


class QueryTable(Section):
    """Static columns of who is asked for. Without a path, only their ids are known."""

    path: str | None = None
    id: str


class Data(Section):
    """Where the tables come from and how rows are accepted."""

    source: Literal["simulated", "movielens-1m", "movielens-100k", "sequences", "tables"]
    path: Path | None = None
    events: EventTable
    items: ItemTable
    queries: QueryTable | None = None
    min_item_events: Whole = 0  # for published protocols: rarer items leave the catalogue
    min_query_events: Whole = 0  # the same for queries; both together make a k-core
    seen_items: Literal["filter", "keep"] = "filter"  # keep: what was taken may be recommended again (groceries)
    segment: str | None = None  # category feature of the query table; slices and popularity use it
    simulated_events: Count = 240_000  # draws of the simulated world; repeats drop out, so about 200,000 events

    @model_validator(mode="after")
    def _has_path(self) -> Data:
        if self.source != "simulated" and self.path is None:
            raise ValueError(f'path is needed for source = "{self.source}": the folder that holds the tables')
        if self.source == "tables" and self.events.path is None:
            raise ValueError('events.path is needed for source = "tables"')
        return self

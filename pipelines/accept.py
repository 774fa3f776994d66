"""Which rows of the raw tables are taken: ids, times and kinds are read, and every other row gets a reason."""

from __future__ import annotations

from typing import Any

import ibis
import ibis.expr.types as ir

from configs.data import FILTER, SEPARATOR, EventTable
from configs.errors import ConfigError, DataError
from configs.features import Feature
from configs.schema import Config
from pipelines.feature_columns import parse
from pipelines.normalise import as_clock, as_joined, as_number, as_order, as_text
from pipelines.sources.base import ROW, require


def number_rows(table: ir.Table) -> ir.Table:
    """The table with `ROW`, from 0, in the order in which the source holds its rows."""
    return table.mutate(**{ROW: ibis.row_number()})


def parse_items(config: Config, table: ir.Table, origin: str) -> ir.Table:
    """`ROW`, item, title, available_from, reason (null: accepted), the item features, and filter_NAME for each filter;
    null where missing.

    `available_from` may lie in the future: that is when an announced item enters. Raises: DataError.
    """
    section, events = config.data.items, config.data.events
    item = as_text(require(table, section.id, "data.items.id", origin))
    columns: dict[str, Any] = {"title": ibis.null("string"), "available_from": ibis.null("int64")}
    reasons = [(_missing(item), "no item id")]
    if section.title:
        columns["title"] = as_text(require(table, section.title, "data.items.title", origin))
    if section.available_from:
        raw = require(table, section.available_from, "data.items.available_from", origin)
        columns["available_from"] = _moment(raw, events)
        unread = ~_missing(as_text(raw)) & columns["available_from"].isnull()
        reasons.append((unread, "unreadable available_from"))
    _refuse_two_titles(config)
    columns |= _features(config, "items", table, section.id, origin)
    for name in section.filters:
        raw = require(table, name, "data.items.filters", origin)
        columns[FILTER + name] = as_joined(raw, SEPARATOR)
    return table.select(ROW, item=item, **columns, reason=_first(reasons))


def parse_queries(config: Config, table: ir.Table, id_column: str, origin: str) -> ir.Table:
    """`ROW`, query, reason (null: accepted) and the query features, null where missing. Raises: DataError."""
    query = as_text(require(table, id_column, "data.queries.id", origin))
    columns = _features(config, "queries", table, id_column, origin)
    return table.select(ROW, query=query, **columns, reason=_first([(_missing(query), "no query id")]))


def parse_events(config: Config, table: ir.Table, catalogue: ir.Table | None, now: int, origin: str) -> ir.Table:
    """`ROW`, query, item, time, kind, weight, rating and value (where the config names them), reason (null: accepted)
    and the event features.

    `catalogue` has the accepted items' ids in its column item; without one every item is accepted. `now` (unix
    seconds) is the latest time that an event with a clock may have. Raises: DataError.
    """
    section = config.data.events
    query = as_text(require(table, section.query, "data.events.query", origin))
    item = as_text(require(table, section.item, "data.events.item", origin))
    raw_time: Any = require(
        table,
        section.time or section.order or "",
        f"data.events.{'time' if section.time else 'order'}",
        origin,
    )
    time = _moment(raw_time, section)
    kind, weight = _strength(section, table, origin)
    axis = "time" if section.time else "order number"
    reasons = [
        (_missing(query), "no query id"),
        (_missing(item), "no item id"),
        (_missing(as_text(raw_time)), f"no {axis}"),
        (time.isnull(), f"unreadable {axis}"),
    ]
    if section.time:
        reasons.append((time > now, "time in the future"))
    reasons.append((weight.isnull(), "kind not in weights"))
    numbers: dict[str, Any] = {}
    if section.rating:
        numbers["rating"], unread = _number(table, section.rating, "data.events.rating", origin)
        reasons.append((unread, "rating is not a number"))
    if section.value:
        value, unread = _number(table, section.value, "data.events.value", origin)
        reasons += [(unread, "value is not a number"), (value < 0, "value below 0")]
        numbers["value"] = ibis.coalesce(value, ibis.literal(1.0, "float32"))
    if catalogue is not None:
        reasons.append((~item.isin(catalogue["item"]), "item not in the catalogue"))
    columns = _features(config, "events", table, section.time, origin)
    for feature in config.on("events"):
        if feature.kind == "time":
            columns[feature.name] = ibis.coalesce(columns[feature.name], time)
    return table.select(
        ROW, query=query, item=item, time=time, kind=kind, weight=weight, **numbers, reason=_first(reasons), **columns
    )


def repeated(events: ir.Table) -> ir.Table:
    """`ROW` and reason of every event that says again what an earlier row said."""
    key = ["query", "item", "time", "kind"]
    # Grouping first keeps the join small: few keys repeat, and a window over all rows would sort them all.
    groups = events.group_by(key).aggregate(first=events[ROW].min(), rows=events.count())
    again = groups.filter(groups["rows"] > 1)
    pairs = events.join(again, key)
    later = pairs.filter(pairs[ROW] != pairs["first"])
    return later.select(ROW, reason=ibis.literal("duplicate"))


def refuse_repeated_ids(table: ir.Table, key: str, section: str, origin: str) -> None:
    """Two rows with one id contradict each other. Raises: DataError."""
    counts = table.group_by(key).aggregate(rows=table.count())
    again = counts.filter(counts["rows"] > 1)
    ids = again.count().to_pyarrow().as_py()
    if ids:
        first = again.order_by(key).limit(1).to_pyarrow().to_pylist()[0]
        raise DataError(
            f"data.{section}.id: {origin} holds {first['rows']} rows with the id {first[key]!r} "
            f"({ids} ids are repeated); expected one row an id"
        )


def _features(config: Config, name: str, table: ir.Table, own: str | None, origin: str) -> dict[str, ir.Value]:
    features: tuple[Feature, ...] = config.on(name)
    unit = config.data.events.time_unit
    return {feature.name: parse(feature, table, own, unit, origin) for feature in features}


def _refuse_two_titles(config: Config) -> None:
    """The prepared table has one column `title`: shown to people, and the feature of that name if there is one."""
    shown = config.data.items.title
    for feature in config.on("items"):
        if feature.name.lower() == "title":
            fits = feature.name == "title" and feature.kind in ("text", "category", "multi_category")
            if not fits or feature.source_column != (shown or feature.source_column):
                raise ConfigError(
                    f"features: {feature.name!r} ({feature.kind}, column {feature.source_column!r}) clashes with "
                    f"data.items.title = {shown!r}; expected another name, or text from that column"
                )


def _moment(column: ir.Value, events: EventTable) -> ir.IntegerValue:
    return as_clock(column, events.time_unit) if events.time else as_order(column)


def _strength(section: EventTable, table: ir.Table, origin: str) -> tuple[Any, Any]:
    """Kind and weight of each event; without kinds all are alike."""
    if section.kind is None:
        return ibis.literal(""), ibis.literal(1.0, type="float32")
    kind = as_text(require(table, section.kind, "data.events.kind", origin))
    weights = [(kind == name, ibis.literal(weight, "float32")) for name, weight in section.weights.items()]
    return kind, ibis.cases(*weights, else_=ibis.null("float32"))


def _number(table: ir.Table, column: str, key: str, origin: str) -> tuple[Any, Any]:
    """A column as float32, null where nothing is said, and where something is said that is no finite number."""
    raw = require(table, column, key, origin)
    number = as_number(raw).try_cast("float32")
    return number, ~_missing(as_text(raw)) & number.isnull()


def _missing(text: Any) -> ir.BooleanValue:
    return text.isnull() | (text == "")


def _first(reasons: list[tuple[Any, str]]) -> ir.StringValue:
    return ibis.cases(*reasons, else_=ibis.null("string"))

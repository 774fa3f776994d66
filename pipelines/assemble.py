"""How the prepared tables come about: accepted rows, what the rows of others decide, row numbers, features."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir

from configs.data import FILTER
from configs.errors import DataError
from configs.schema import Config
from pipelines.accept import (
    number_rows,
    parse_events,
    parse_items,
    parse_queries,
    refuse_repeated_ids,
    repeated,
)
from pipelines.feature_columns import check, column_of, fill
from pipelines.sources import RawTables, read
from pipelines.sources.base import ROW
from pipelines.sources.files import open_table

_LOGGED = 2**62  # where the numbers of logged rows begin among all events


@ibis.udf.scalar.builtin
def to_json(record) -> str:  # type: ignore[no-untyped-def, empty-body]
    """The engine's own function (DuckDB and Spark both have it): a struct as JSON text."""


@dataclass(frozen=True)
class Tables:
    """The prepared tables, as `prepare` documents them, on the backend; counts: rows in and kept, by table."""

    events: ir.Table
    items: ir.Table
    queries: ir.Table
    quarantine: ir.Table
    counts: dict[str, tuple[int, int]]

    def reasons(self, name: str) -> dict[str, int]:
        """Quarantined rows of one raw table by reason."""
        rows = self.quarantine.filter(self.quarantine["table"] == name)
        found = rows.group_by("reason").aggregate(rows=rows.count()).order_by("reason").to_pyarrow()
        return {row["reason"]: row["rows"] for row in found.to_pylist()}


def assemble(config: Config, backend: Any, now: int) -> Tables:
    """Read, judge and normalise the tables of `config`. Raises: DataError."""
    raw = read(config, backend)
    numbered = {
        name: number_rows(table)
        for name, table in (
            ("events", raw.events),
            ("logged", raw.logged),
            ("items", raw.items),
            ("queries", raw.queries),
        )
        if table is not None
    }
    known_items, known_queries = _static_tables(config, raw, numbered, backend)
    catalogue = None if known_items is None else _accepted(known_items)
    parsed = _parsed_events(config, raw, numbered, catalogue, now)
    events, left_events = _settle(config, _stored(backend, parsed), backend)
    _refuse_nothing(events, left_events, raw.origin("events"))

    items = _items(config, catalogue, events, raw, backend)
    queries = _queries(config, known_queries, events, raw, backend)
    kept, left = (_by_source(table, numbered) for table in (events, left_events))
    for name, table in kept.items():
        check(table, ROW, config.on("events"), raw.origins.get(name, name))
    if known_items is not None:
        kept["items"], left["items"] = items, _left_items(config, known_items, items)
    if known_queries is not None:
        kept["queries"], left["queries"] = _known_queries(config, known_queries, queries)
    quarantine = _stored(backend, _quarantine(numbered, left))
    counts = {name: (_count(table), _count(kept[name])) for name, table in numbered.items()}
    return Tables(
        _finish_events(config, events, items, queries),
        items.drop(ROW).order_by("item"),
        queries.drop(ROW).order_by("query"),
        quarantine.order_by("table", "row"),
        counts,
    )


# --- tables that do not change --------------------------------------------------------------------------------


def _static_tables(
    config: Config, raw: RawTables, numbered: dict[str, ir.Table], backend: Any
) -> tuple[ir.Table | None, ir.Table | None]:
    """The parsed item and query tables, or None where the source has none; ids are unique."""
    items = queries = None
    if "items" in numbered:
        items = _stored(backend, parse_items(config, numbered["items"], raw.origin("items")))
        refuse_repeated_ids(_accepted(items), "item", "items", raw.origin("items"))
    if "queries" in numbered and config.data.queries is not None:
        origin = raw.origin("queries")
        parsed = parse_queries(config, numbered["queries"], config.data.queries.id, origin)
        queries = _stored(backend, parsed)
        refuse_repeated_ids(_accepted(queries), "query", "queries", origin)
    return items, queries


def _items(config: Config, catalogue: ir.Table | None, events: ir.Table, raw: RawTables, backend: Any) -> ir.Table:
    """The item table as written, with its row number in `ROW`."""
    origin = raw.origin("items")
    if catalogue is None:
        origin = "the items of the events (data.items.path is not set)"
        ids = events.select(**{config.data.items.id: events["item"]}).distinct()
        catalogue = parse_items(config, number_rows(ids), origin).drop("reason")
    elif config.data.min_item_events:
        catalogue = catalogue.semi_join(events, "item")
    return _stored(backend, _ranked(_filled(config, _stored(backend, catalogue), origin), "item"))


def item_table(config: Config, backend: Any, where: Path) -> ir.Table:
    """An item table alone, from a file, as `prepare` writes it but in its own order. Raises: DataError, also for rows
    that `prepare` would set aside."""
    origin = str(where)
    parsed = _stored(backend, parse_items(config, number_rows(open_table(backend, where, "items")), origin))
    left = _left(parsed).order_by(ROW)
    if rows := _count(left):
        first = left.limit(1).to_pyarrow().to_pylist()[0]
        raise DataError(f"items: {origin} holds {rows} rows that cannot be used; row {first[ROW]}: {first['reason']}")
    refuse_repeated_ids(parsed, "item", "items", origin)
    return _filled(config, parsed, origin).order_by(ROW).drop(ROW)


def _filled(config: Config, catalogue: ir.Table, origin: str) -> ir.Table:
    """Checked items as written, with `ROW`: missing values as the models read them."""
    check(catalogue, "item", config.on("items"), origin)
    filled = {feature.name: fill(feature, catalogue[feature.name]) for feature in config.on("items")}
    filled |= {FILTER + name: catalogue[FILTER + name].fill_null("") for name in config.data.items.filters}
    filled["title"] = ibis.coalesce(catalogue["title"].nullif(""), catalogue["item"])
    names = list(dict.fromkeys(["item", "title", "available_from", *filled]))
    return catalogue.mutate(**filled).select(ROW, *names)


def _queries(config: Config, known: ir.Table | None, events: ir.Table, raw: RawTables, backend: Any) -> ir.Table:
    """The query table as written: every query of the events, with its row number in `ROW`."""
    asked = events.select("query").distinct()
    id_column = config.data.queries.id if config.data.queries else config.data.events.query
    features = config.on("queries")
    if known is None or raw.queries is None:
        origin = "the queries of the events (data.queries.path is not set)"
        ids = number_rows(asked.select(**{id_column: asked["query"]}))
        table = parse_queries(config, ids, id_column, origin).drop("reason")
    else:
        origin = f"{raw.origin('queries')} (which may lack queries of the events)"
        table = asked.left_join(_accepted(known), "query").drop("query_right")
        for feature in features:
            if feature.kind == "id" and column_of(feature, raw.queries.columns, id_column) == id_column:
                table = table.mutate(**{feature.name: table["query"]})  # also where the table lacks the query
    table = _stored(backend, table)
    check(table, "query", features, origin)
    filled = {feature.name: fill(feature, table[feature.name]) for feature in features}
    names = [feature.name for feature in features]
    return _stored(backend, _ranked(table.mutate(**filled), "query").select(ROW, "query", *names))


def _ranked(table: ir.Table, key: str) -> ir.Table:
    """The table with `ROW` as its place in the order of `key`, from 0, int32."""
    place = ibis.row_number().over(order_by=table[key])
    return table.mutate(**{ROW: place.cast("int32")})


# --- events ---------------------------------------------------------------------------------------------------


def _parsed_events(
    config: Config, raw: RawTables, numbered: dict[str, ir.Table], catalogue: ir.Table | None, now: int
) -> ir.Table:
    """The events of the source and behind them those that were logged, each read in its own types."""
    parsed = parse_events(config, numbered["events"], catalogue, now, raw.origin("events"))
    if "logged" not in numbered:
        return parsed
    logged = parse_events(config, numbered["logged"], catalogue, now, raw.origin("logged"))
    return parsed.union(logged.mutate(**{ROW: logged[ROW] + _LOGGED}))


def _by_source(events: ir.Table, numbered: dict[str, ir.Table]) -> dict[str, ir.Table]:
    """The rows of the source, and those that were logged, numbered as they are there."""
    if "logged" not in numbered:
        return {"events": events}
    logged = events.filter(events[ROW] >= _LOGGED)
    return {"events": events.filter(events[ROW] < _LOGGED), "logged": logged.mutate(**{ROW: logged[ROW] - _LOGGED})}


def _settle(config: Config, parsed: ir.Table, backend: Any) -> tuple[ir.Table, ir.Table]:
    """The kept events, and `ROW` and reason of the others."""
    accepted, left = _accepted(parsed), _left(parsed)
    again = _stored(backend, repeated(accepted))
    kept, left = accepted.anti_join(again, ROW), left.union(again)
    least = {side: count for side, count in _least(config).items() if count}
    if least:
        rare = _outside_core(_stored(backend, kept.select(ROW, *least)), least, backend)
        kept, left = kept.anti_join(rare, ROW), left.union(rare)
    return kept, left


def _outside_core(pairs: ir.Table, least: dict[str, int], backend: Any) -> ir.Table:
    """`ROW` and reason of the events that leave until every item and query left has its least number of events.

    What remains is the same in whatever order they leave: the k-core of the log as a bipartite graph (Seidman,
    Network structure and minimum degree, 1983).
    """
    left: list[ir.Table] = []
    settled = 0
    while settled < len(least):
        for side, count in least.items():
            counts = pairs.group_by(side).aggregate(rows=pairs.count())
            rare = _stored(backend, counts.filter(counts["rows"] < count).select(side))
            settled = 0 if _count(rare) else settled + 1
            if not settled or not left:
                left.append(_stored(backend, pairs.semi_join(rare, side).select(ROW, reason=_too_rare(side, count))))
                pairs = _stored(backend, pairs.anti_join(rare, side))
    return ibis.union(*left) if len(left) > 1 else left[0]


def _finish_events(config: Config, events: ir.Table, items: ir.Table, queries: ir.Table) -> ir.Table:
    """The events as written: row numbers joined, features filled, sorted by time and source row."""
    filled = {feature.name: fill(feature, events[feature.name]) for feature in config.on("events")}
    item_rows = items.select("item", item_row=items[ROW])
    query_rows = queries.select("query", query_row=queries[ROW])
    joined = events.mutate(**filled).join(item_rows, "item").join(query_rows, "query")
    numbers = [name for name in ("rating", "value") if getattr(config.data.events, name)]
    names = ["query", "item", "query_row", "item_row", "time", "weight", "kind", *numbers, *filled]
    return joined.order_by("time", ROW).select(*names)


def _refuse_nothing(events: ir.Table, left: ir.Table, origin: str) -> None:
    if events.limit(1).count().to_pyarrow().as_py():
        return
    counts = left.group_by("reason").aggregate(rows=left.count()).order_by(ibis.desc("rows"))
    found = ", ".join(f"{row['reason']}: {row['rows']}" for row in counts.to_pyarrow().to_pylist())
    raise DataError(f"data.events: no usable row in {origin} (left out: {found or 'it is empty'})")


# --- what was left out ----------------------------------------------------------------------------------------


def _least(config: Config) -> dict[str, int]:
    return {"item": config.data.min_item_events, "query": config.data.min_query_events}


def _too_rare(side: str, least: int) -> ir.StringValue:
    return ibis.literal(f"{side} has fewer than {least} events")


def _left_items(config: Config, known: ir.Table, items: ir.Table) -> ir.Table:
    rare = _accepted(known).anti_join(items, "item")
    return _left(known).union(rare.select(ROW, reason=_too_rare("item", config.data.min_item_events)))


def _known_queries(config: Config, known: ir.Table, queries: ir.Table) -> tuple[ir.Table, ir.Table]:
    """Rows of the query table that are kept, and `ROW` and reason of the others; without a minimum also those of
    queries without events are kept, as they may come back."""
    accepted, least = _accepted(known), config.data.min_query_events
    if not least:
        return accepted, _left(known)
    rare = accepted.anti_join(queries, "query").select(ROW, reason=_too_rare("query", least))
    return accepted.semi_join(queries, "query"), _left(known).union(rare)


def _quarantine(numbered: dict[str, ir.Table], left: dict[str, ir.Table]) -> ir.Table:
    """table, row, reason and record of every row left out."""
    parts = []
    for name, table in numbered.items():
        joined = table.join(left[name], ROW)
        record = ibis.struct({column: joined[column] for column in table.columns if column != ROW})
        parts.append(
            joined.select(table=ibis.literal(name), row=joined[ROW], reason=joined["reason"], record=to_json(record))
        )
    return ibis.union(*parts) if len(parts) > 1 else parts[0]


# --- small words ----------------------------------------------------------------------------------------------


def _stored(backend: Any, table: ir.Table) -> ir.Table:
    """The table computed once and kept by the engine, which spills it when memory is short."""
    return backend.create_table(ibis.util.gen_name("twinspire"), table, temp=True)


def _accepted(parsed: ir.Table) -> ir.Table:
    return parsed.filter(parsed["reason"].isnull()).drop("reason")


def _left(parsed: ir.Table) -> ir.Table:
    return parsed.filter(parsed["reason"].notnull()).select(ROW, "reason")


def _count(table: ir.Table) -> int:
    return int(table.count().to_pyarrow().as_py())

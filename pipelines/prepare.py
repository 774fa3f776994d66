"""The first stage: raw tables in, validated and normalised tables out, and a reason for every row left out."""

from __future__ import annotations

import itertools
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from configs.errors import DataError
from configs.schema import Config
from pipelines.assemble import Tables, assemble, item_table
from pipelines.progress import Progress
from pipelines.stage import Inputs
from pipelines.tables import Interactions


@dataclass(frozen=True)
class Account:
    """What became of one raw table's rows: rows = kept + the sum of quarantined, which is by reason."""

    rows: int
    kept: int
    quarantined: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class PrepareSummary:
    """Accounts by raw table, first and last time of the kept events, and sizes of the written tables.

    `queries` counts the queries that have events: a query table may have more rows.
    """

    tables: dict[str, Account]
    first_time: int
    last_time: int
    events: int
    items: int
    queries: int


@dataclass(frozen=True)
class Prepared:
    """The prepared tables in memory: N events over the rows of `items` and `queries`.

    items: item, title, available_from (Int64), features, and filter_NAME for each filter; queries: query and features;
    kinds: the kind of each event [N], all "" where the data has none; ratings: float32 [N], NaN where an event has
    none, or None where the config names no column of them.
    """

    interactions: Interactions
    items: pd.DataFrame
    queries: pd.DataFrame
    kinds: pd.Categorical
    ratings: np.ndarray | None = None


def stage(config: Config, inputs: Inputs, out: Path, progress: Progress) -> None:
    """The prepare stage: `prepare` into `out`, and say what became of the rows."""
    for name, account in prepare(config, out).tables.items():
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in account.quarantined.items())
        progress.say(f"{name}: {account.rows:,} rows = {account.kept:,} kept + {reasons or 'none'} set aside")


def prepare(config: Config, folder: Path, now: int | None = None) -> PrepareSummary:
    """Write events, items, queries and quarantine (Parquet) and summary.json into `folder`.

    `now` is the unix second after which event times lie in the future; the clock's, unless given.
    Raises: DataError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    now = int(time.time()) if now is None else now
    try:
        with _engine(folder) as backend:
            tables = assemble(config, backend, now)
            for name, table in (
                ("events", tables.events),
                ("items", tables.items),
                ("queries", tables.queries),
                ("quarantine", tables.quarantine),
            ):
                table.to_parquet(folder / f"{name}.parquet")
            summary = _summarise(tables, folder)
    except duckdb.Error as error:
        raise DataError(f"data: the tables cannot be read: {_one_line(error)}") from error
    (folder / "summary.json").write_text(json.dumps(asdict(summary), indent=2) + "\n", encoding="utf-8")
    return summary


def read_items(config: Config, where: Path) -> pd.DataFrame:
    """An item table from a file, as `Prepared.items` has it but in its own order. Raises: DataError."""
    with tempfile.TemporaryDirectory() as folder, _engine(Path(folder)) as backend:
        try:
            return _typed(item_table(config, backend, where).to_pandas())
        except duckdb.Error as error:
            raise DataError(f"items: {where} cannot be read: {_one_line(error)}") from error


def load_prepared(folder: Path) -> Prepared:
    """What `prepare` wrote into `folder`."""
    events = pq.read_table(folder / "events.parquet")
    fixed = {"query", "item", "query_row", "item_row", "time", "weight", "kind", "rating", "value"}
    interactions = Interactions(
        query=events["query_row"].to_numpy(),
        item=events["item_row"].to_numpy(),
        time=events["time"].to_numpy(),
        weight=events["weight"].to_numpy(),
        context={name: _array(events[name]) for name in events.column_names if name not in fixed},
        value=events["value"].to_numpy() if "value" in events.column_names else None,
    )
    kinds = events["kind"].combine_chunks().dictionary_encode()
    return Prepared(
        interactions,
        _typed(pd.read_parquet(folder / "items.parquet")),
        pd.read_parquet(folder / "queries.parquet"),
        pd.Categorical.from_codes(kinds.indices.to_numpy(), kinds.dictionary.to_pylist()),
        events["rating"].to_numpy() if "rating" in events.column_names else None,
    )


@contextmanager
def _engine(folder: Path) -> Iterator[Any]:
    """An embedded DuckDB that spills beside the result: that disk has to hold tables of this size anyway."""
    with tempfile.TemporaryDirectory(prefix=".spill-", dir=folder) as spill:
        backend = ibis.duckdb.connect(":memory:", temp_directory=spill)
        try:
            backend.raw_sql("SET TimeZone = 'UTC'")
            # Parquet statistics say nothing of NaN, yet DuckDB concludes from them that there is none and drops
            # the tests for it (duckdb/duckdb#25521).
            backend.raw_sql("SET disabled_optimizers = 'statistics_propagation'")
            yield backend
        finally:
            backend.disconnect()


def _typed(items: pd.DataFrame) -> pd.DataFrame:
    return items.assign(available_from=items["available_from"].astype("Int64"))  # nulls would make it a float


def _one_line(error: duckdb.Error) -> str:
    """What DuckDB says, without its advice on options that are not the user's, but with the file."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = list(itertools.takewhile(lambda line: not line.startswith(("Possible", "file =", "LINE")), lines))
    return "; ".join(said[:4] + [line for line in lines if line.startswith("file =")])


def _summarise(tables: Tables, folder: Path) -> PrepareSummary:
    accounts = {}
    for name, (rows, kept) in tables.counts.items():
        reasons = tables.reasons(name)
        if rows != kept + sum(reasons.values()):
            raise AssertionError(f"{name}: {rows} rows in, {kept} kept, quarantined {reasons}")
        accounts[name] = Account(rows, kept, reasons)
    span = tables.events.aggregate(first=tables.events["time"].min(), last=tables.events["time"].max()).to_pyarrow()
    sizes = (pq.read_metadata(folder / f"{name}.parquet").num_rows for name in ("events", "items", "queries"))
    return PrepareSummary(accounts, span["first"][0].as_py(), span["last"][0].as_py(), *sizes)


def _array(column: pa.ChunkedArray) -> np.ndarray:
    """A context column as [N], or [N, width] for a vector."""
    if pa.types.is_list(column.type):
        return np.stack(column.to_numpy())
    return column.to_numpy()

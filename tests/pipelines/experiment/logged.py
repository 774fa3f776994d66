"""Logs as a server writes them, by hand, and the command that reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from typer.testing import CliRunner, Result

from pipelines.experiment.cli import app

DAY = 86_400
START = 1_700_000_000
EXPOSURES = pa.schema(
    {
        "logged_at": pa.int64(),
        "request": pa.string(),
        "query": pa.string(),
        "time": pa.int64(),
        "model": pa.string(),
        "version": pa.int64(),
        "source": pa.string(),
        "reason": pa.string(),
        "arms": pa.map_(pa.string(), pa.string()),
        "items": pa.list_(pa.string()),
        "scores": pa.list_(pa.float32()),
        "propensities": pa.list_(pa.float64()),
        "seconds": pa.float64(),
    }
)
EVENTS = pa.schema(
    {"query": pa.string(), "item": pa.string(), "time": pa.int64(), "value": pa.float64(), "kind": pa.string()}
)


def shown(query: str | None, time: int, arm: str | None = None, items: Sequence[str] = ("i1",), **other: Any) -> dict:
    """A list that was shown; time: seconds after START; arm: of the experiment "x"."""
    row = {"logged_at": (START + time) * 10**6, "request": f"{query}-{time}", "query": query, "time": START + time}
    row |= {"model": "m", "version": 1, "source": "model", "reason": "", "items": list(items), "seconds": 0.01}
    row["arms"] = [] if arm is None else [("x", arm)]
    return {**row, "scores": [0.5] * len(items), "propensities": None, **other}


def did(query: str, time: int, item: str = "i1", value: float | None = None, kind: str = "view") -> dict:
    """An event; time: seconds after START."""
    return {"query": query, "item": item, "time": START + time, "value": value, "kind": kind}


def write(folder: Path, exposures: Sequence[dict], events: Sequence[dict] | None = None) -> Path:
    """A server's folder of logs, one of exposures in two days' folders."""
    half = (len(exposures) + 1) // 2
    for day, rows in (("2023-11-14", exposures[:half]), ("2023-11-15", exposures[half:])):
        _write(folder / "exposures" / day / "part.parquet", rows, EXPOSURES)
    if events is not None:
        _write(folder / "events" / "part.parquet", events, EVENTS)
    return folder


def _write(path: Path, rows: Sequence[dict], schema: pa.Schema) -> None:
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(list(rows), schema), path)


def call(*arguments: str | Path) -> Result:
    """`twinspire experiment` in this process; what a person would see as an error is raised."""
    done = CliRunner().invoke(app, [*map(str, arguments)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done

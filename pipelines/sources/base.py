"""What every source hands over: the raw tables, with the source's own columns."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import ibis.expr.types as ir

from configs.errors import DataError

TableName = Literal["events", "items", "queries", "logged"]

ROW = "__source_row"  # number of a row in its source, from 0, the header not counted; `prepare` adds it


@dataclass(frozen=True)
class RawTables:
    """Tables as the source holds them; nothing is renamed, dropped or converted yet.

    events: one row per observed event; items: the catalogue, or None where only the events know the items;
    queries: static columns of who is asked for, or None; origins: where each table came from, for errors;
    logged: events that a server logged, or None.
    """

    events: ir.Table
    items: ir.Table | None = None
    queries: ir.Table | None = None
    origins: dict[str, str] = field(default_factory=dict)
    logged: ir.Table | None = None

    def origin(self, name: TableName) -> str:
        """Where the table came from, for a message."""
        return self.origins.get(name, name)


def require(table: ir.Table, column: str, key: str, origin: str) -> ir.Value:
    """The named column. Raises: DataError that names `key`, the config key that asked for it."""
    if column not in table.columns:
        found = ", ".join(name for name in table.columns if name != ROW)
        raise DataError(f"{key}: {origin} has no column {column!r}; found {found}")
    return table[column]


def listing(folder: Path) -> str:
    """The first names in a folder, for a message."""
    if not folder.is_dir():
        return "no such folder"
    return ", ".join(sorted(file.name for file in folder.iterdir())[:10]) or "nothing"

"""Events that a server logged (`serving.logs`), read beside those of the source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir

from configs.errors import DataError
from configs.schema import Config
from pipelines.sources.base import listing


def paths(config: Config) -> list[Path]:
    """The files of `data.events.logged`, by name; none where the config has no such folder, or nothing was logged yet.

    Raises: DataError where the folder is not there.
    """
    if config.data.events.logged is None:
        return []
    folder = Path(config.data.path or ".") / config.data.events.logged
    if not folder.is_dir():
        raise DataError(
            f"data.events.logged: no folder at {folder}; expected the one that a server logs events to, empty before "
            f"its first; found in {folder.parent}: {listing(folder.parent)}"
        )
    return sorted(file for file in folder.glob("*.parquet") if not file.name.startswith("."))


def read(config: Config, backend: Any) -> ir.Table | None:
    """All logged events; None where there are none. A column that the config names and no file has, as it was not
    asked for then, is empty. Raises: DataError."""
    files = paths(config)
    if not files:
        return None
    table = backend.read_parquet([str(file) for file in files], union_by_name=True)
    features = {f.source_column for f in config.on("events") if f.kind != "time" or f.column is not None}
    return table.mutate(**{name: ibis.null("string") for name in sorted(features - set(table.columns))})

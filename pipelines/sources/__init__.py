"""Where tables come from: the simulated world, MovieLens files, published sequences, or anyone's Parquet and CSV."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from configs.schema import Config
from pipelines.sources import files, logged, movielens, sequences, simulated
from pipelines.sources.base import RawTables

__all__ = ["RawTables", "fingerprint", "read"]

_SOURCES = {
    "simulated": simulated,
    "movielens-1m": movielens,
    "movielens-100k": movielens,
    "sequences": sequences,
    "tables": files,
}


def read(config: Config, backend: Any) -> RawTables:
    """The raw tables of `config.data`, opened lazily on an Ibis backend. Raises: DataError."""
    raw = _SOURCES[config.data.source].read(config, backend)
    origins = raw.origins | {"logged": str(config.data.events.logged)}
    return replace(raw, logged=logged.read(config, backend), origins=origins)


def fingerprint(config: Config) -> str:
    """Hash of the contents of every file that `read` would read, whatever their dates. Raises: DataError."""
    digest = hashlib.sha256()
    for path in (*_SOURCES[config.data.source].paths(config), *logged.paths(config)):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with Path(path).open("rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()

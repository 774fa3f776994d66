"""Tables in Parquet or CSV files: one file, a glob, or a folder of parts."""

from __future__ import annotations

import csv
import glob
import gzip
import itertools
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir

from configs.errors import DataError
from configs.schema import Config
from pipelines.sources.base import RawTables, listing

PARQUET = (".parquet", ".pq")
CSV = (".csv", ".tsv", ".csv.gz", ".tsv.gz")


def read(config: Config, backend: Any) -> RawTables:
    """The tables that `data.events`, `data.items` and `data.queries` name. Raises: DataError."""
    places = _places(config)
    tables = {name: open_table(backend, where, f"data.{name}.path") for name, where in places.items()}
    origins = {name: str(where) for name, where in places.items()}
    return RawTables(tables["events"], tables.get("items"), tables.get("queries"), origins)


def paths(config: Config) -> list[Path]:
    """Every file of every table, in a fixed order. Raises: DataError."""
    return [Path(file) for name, where in _places(config).items() for file in _files(where, f"data.{name}.path")]


def _places(config: Config) -> dict[str, Path]:
    """Where each table is said to be."""
    data = config.data
    sections = {"events": data.events, "items": data.items, "queries": data.queries}
    return {
        name: Path(data.path or ".") / section.path
        for name, section in sections.items()
        if section is not None and section.path is not None
    }


def open_table(backend: Any, where: Path, key: str) -> ir.Table:
    """One table over all files that `where` (a file, a folder or a glob) stands for, joined by column name.

    All CSV columns are text: ids keep their leading zeros, and one odd value in a column of numbers is one odd
    row instead of a failed read. Raises: DataError.
    """
    files = _files(where, key)
    suffixes = {_suffix(file) for file in files}
    if suffixes <= set(PARQUET):
        return backend.read_parquet(files, union_by_name=True)
    if suffixes <= set(CSV):
        return _open_csv(backend, files)
    expected = ", ".join((*PARQUET, *CSV))
    raise DataError(f"{key}: found {sorted(suffixes)} in {where}; expected one kind of file: {expected}")


def _open_csv(backend: Any, files: list[str]) -> ir.Table:
    """Files that follow each other with one header are read together; the runs of files are then united."""
    parts = []
    for (delimiter, columns), run in itertools.groupby(files, key=_header):
        options = {"delim": delimiter, "header": True, "quote": '"', "escape": '"'}
        parts.append(backend.read_csv(list(run), columns=dict.fromkeys(columns, "VARCHAR"), **options))
    names = list(dict.fromkeys(name for part in parts for name in part.columns))
    aligned = (
        part.select(**{name: part[name] if name in part.columns else ibis.null("string") for name in names})
        for part in parts
    )
    return ibis.union(*aligned) if len(parts) > 1 else parts[0]


def _files(where: Path, key: str) -> list[str]:
    if where.is_dir():
        # Spark and others write a folder of parts beside marker files, which start with "_" or ".".
        inside = (file for file in where.iterdir() if _suffix(str(file)) in (*PARQUET, *CSV))
        files = [str(file) for file in inside if not file.name.startswith(("_", "."))]
    elif where.is_file():
        files = [str(where)]
    else:
        files = [file for file in glob.glob(str(where), recursive=True) if Path(file).is_file()]
    if not files:
        around = where if where.is_dir() else where.parent
        raise DataError(
            f"{key}: no table at {where}; expected a Parquet or CSV file, or a glob or folder of them; "
            f"found in {around}: {listing(around)}"
        )
    return sorted(files)


def _suffix(file: str) -> str:
    suffixes = Path(file).suffixes
    return "".join(suffixes[-2:]).lower() if suffixes[-1:] == [".gz"] else "".join(suffixes[-1:]).lower()


def _header(file: str) -> tuple[str, tuple[str, ...]]:
    """Delimiter and column names by the header: guessing them from the rows goes wrong when the text is odd."""
    opened = gzip.open if file.endswith(".gz") else open
    with opened(file, "rt", encoding="utf-8-sig", errors="replace", newline="") as stream:
        line = stream.readline(1_000_000)
        if not line.strip():
            raise DataError(f"{file} is empty; expected a header line with the column names")
        delimiter = max(",;\t|", key=lambda mark: len(next(csv.reader([line], delimiter=mark))))
        names = next(csv.reader(itertools.chain([line], stream), delimiter=delimiter))
    columns = tuple(name or f"column{place}" for place, name in enumerate(names))
    repeated = sorted({name for name in columns if columns.count(name) > 1})
    if repeated:
        raise DataError(f"{file}: the header names {repeated} more than once; expected each column once")
    return delimiter, columns

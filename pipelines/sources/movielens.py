"""MovieLens 1M and 100K in the files that the publisher ships."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir

from configs.errors import DataError
from configs.schema import Config
from pipelines.sources.base import RawTables, listing

FILES = {
    "movielens-1m": ("ratings.dat", "movies.dat", "users.dat"),
    "movielens-100k": ("u.data", "u.item", "u.user"),
}
GENRES = [
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
]  # the order of the flags in u.item
_YEAR = r"\s*\((\d{4})\)\s*(?:\([A-Z]+\)\s*)?$"  # "(1995)", in 100K also "(1995) (V)"


def paths(config: Config) -> list[Path]:
    """The publisher's files, all present. Raises: DataError."""
    folder = Path(config.data.path or ".")
    return [_present(folder, name, config.data.source) for name in FILES[config.data.source]]


def read(config: Config, backend: Any) -> RawTables:
    """events(user_id, item_id, rating, time), items(item_id, title, genres, year), users(user_id, gender, age,
    occupation, zip); every column is text but year (int32, null where unknown). Raises: DataError."""
    events, items, users = paths(config)
    tables = (
        _read_1m(backend, events, items, users)
        if config.data.source == "movielens-1m"
        else _read_100k(backend, events, items, users)
    )
    origins = {"events": str(events), "items": str(items), "queries": str(users)}
    return RawTables(tables[0], _split_title(tables[1]), tables[2] if config.data.queries else None, origins)


def _present(folder: Path, name: str, source: str) -> Path:
    if not (folder / name).is_file():
        raise DataError(
            f"data.path: {folder} holds no {name} (found: {listing(folder)}); expected the publisher's "
            f"{', '.join(FILES[source])}; `twinspire data {source}` fetches them"
        )
    return folder / name


def _read_1m(backend: Any, events: Path, items: Path, users: Path) -> tuple[ir.Table, ir.Table, ir.Table]:
    return (
        _plain(backend, events, "::", ["user_id", "item_id", "rating", "time"]),
        _plain(backend, items, "::", ["item_id", "title", "genres"]),
        _plain(backend, users, "::", ["user_id", "gender", "age", "occupation", "zip"]),
    )


def _read_100k(backend: Any, events: Path, items: Path, users: Path) -> tuple[ir.Table, ir.Table, ir.Table]:
    flags = [f"genre_{number}" for number in range(len(GENRES))]
    films = _plain(backend, items, "|", ["item_id", "title", "release", "video_release", "url", *flags])
    names = [(films[flag] == "1").ifelse(genre, None) for flag, genre in zip(flags, GENRES, strict=True)]
    genres = ibis.array(names).filter(lambda name: name.notnull()).join("|")
    return (
        _plain(backend, events, "\t", ["user_id", "item_id", "rating", "time"]),
        films.select("item_id", "title", genres=genres),
        _plain(backend, users, "|", ["user_id", "age", "gender", "occupation", "zip"]),
    )


def _plain(backend: Any, path: Path, delimiter: str, columns: list[str]) -> ir.Table:
    """Text columns of a file without header or quoting: a quote in a title is only a quote."""
    return backend.read_csv(
        str(path),
        columns=dict.fromkeys(columns, "VARCHAR"),
        delim=delimiter,
        header=False,
        quote="",
        escape="",
        encoding="latin-1",
    )


def _split_title(films: ir.Table) -> ir.Table:
    year = films.title.re_extract(_YEAR, 1).nullif("").try_cast("int32")
    return films.mutate(title=films.title.re_replace(_YEAR, "").strip(), year=year)

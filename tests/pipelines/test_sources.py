"""What each source hands over, and what it says when a table or a column is not there."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import ibis
import pandas as pd
import pytest

from configs.errors import DataError
from configs.load import builtin, load, parse
from configs.schema import Config
from pipelines.prepare import prepare
from pipelines.sources import read


@pytest.fixture
def backend() -> Any:
    return ibis.duckdb.connect()


def tables_config(folder: Path, events: str = "events.csv", **data: Any) -> Config:
    section = {"path": events, "query": "q", "item": "i", "time": "t", "meaning": "took it"}
    values = {"source": "tables", "path": str(folder), "events": section, "items": {"id": "i"}, **data}
    return parse({"name": "t", "data": values, "features": [{"name": "i", "table": "items", "kind": "id"}]})


def rows(table: Any) -> list[dict[str, Any]]:
    return table.to_pyarrow().to_pylist()


def write_movielens_1m(folder: Path) -> None:
    (folder / "ratings.dat").write_text("1::10::5::978300760\n2::7::3::978302109\n")
    (folder / "users.dat").write_text("1::F::1::10::00231\n2::M::56::16::70072-12\n")
    movies = [
        '7::Léon: The "Pro", l\'été (a.k.a. X) (1994)::Crime|Drama',
        "10::No Year::Children's",
    ]
    (folder / "movies.dat").write_text("\n".join(movies) + "\n", encoding="latin-1")


def test_movielens_1m_in_the_publishers_layout(tmp_path: Path, backend: Any) -> None:
    write_movielens_1m(tmp_path)
    raw = read(load(builtin("movielens-1m"), [f"data.path={tmp_path}"]), backend)
    assert rows(raw.events)[0] == {"user_id": "1", "item_id": "10", "rating": "5", "time": "978300760"}
    assert raw.items is not None
    assert raw.queries is not None
    assert rows(raw.items) == [
        {"item_id": "7", "title": 'Léon: The "Pro", l\'été (a.k.a. X)', "genres": "Crime|Drama", "year": 1994},
        {"item_id": "10", "title": "No Year", "genres": "Children's", "year": None},
    ]
    assert rows(raw.queries)[0] == {"user_id": "1", "gender": "F", "age": "1", "occupation": "10", "zip": "00231"}


def test_movielens_100k_in_the_publishers_layout(tmp_path: Path, backend: Any) -> None:
    (tmp_path / "u.data").write_text("196\t242\t3\t881250949\n")
    (tmp_path / "u.user").write_text("1|24|M|technician|85711\n")
    none = "|".join("0" * 19)
    films = [
        "1|Toy Story (1995)|01-Jan-1995||http://x|0|0|0|1|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0",
        f"2|Cité (1995) (V)|01-Jan-1995||http://x|{none}",
        f"3|Two Friends (1986) |26-Apr-1986||http://x|{none}",
        f"4|unknown||||1{none[1:]}",
    ]
    (tmp_path / "u.item").write_text("\n".join(films) + "\n", encoding="latin-1")
    raw = read(load(builtin("movielens-100k"), [f"data.path={tmp_path}"]), backend)
    assert raw.items is not None
    assert raw.queries is not None
    assert [tuple(row.values()) for row in rows(raw.items)] == [
        ("1", "Toy Story", "Animation|Children's|Comedy", 1995),
        ("2", "Cité", "", 1995),
        ("3", "Two Friends", "", 1986),
        ("4", "unknown", "unknown", None),
    ]
    assert rows(raw.events) == [{"user_id": "196", "item_id": "242", "rating": "3", "time": "881250949"}]
    assert rows(raw.queries)[0]["gender"] == "M"


@pytest.mark.data
def test_movielens_files_are_read_whole(shared_data: Path, backend: Any) -> None:
    for name, folder, sizes in (
        ("movielens-1m", "ml-1m", (1_000_209, 3_883, 6_040)),
        ("movielens-100k", "ml-100k", (100_000, 1_682, 943)),
    ):
        raw = read(load(builtin(name), [f"data.path={shared_data / folder}"]), backend)
        counts = [
            table.count().to_pyarrow().as_py() for table in (raw.events, raw.items, raw.queries) if table is not None
        ]
        assert tuple(counts) == sizes


def test_a_missing_movielens_file_is_named_with_what_is_there(tmp_path: Path, backend: Any) -> None:
    write_movielens_1m(tmp_path)
    (tmp_path / "users.dat").unlink()
    with pytest.raises(DataError, match=r"holds no users.dat \(found: movies.dat, ratings.dat\).*twinspire data"):
        read(load(builtin("movielens-1m"), [f"data.path={tmp_path}"]), backend)
    with pytest.raises(DataError, match=r"found: no such folder"):
        read(load(builtin("movielens-1m"), [f"data.path={tmp_path / 'nowhere'}"]), backend)


def test_the_simulated_world_follows_the_seed(backend: Any) -> None:
    small = ["data.simulated_events=2000"]
    raw = read(load(builtin("demo"), small), backend)
    again = read(load(builtin("demo"), small), backend)
    other = read(load(builtin("demo"), [*small, "seed=1"]), backend)
    assert raw.items is not None
    assert raw.queries is not None
    assert raw.events.columns == ("user_id", "item_id", "time", "device", "event")
    assert {"item_id", "title", "category", "price", "release_time"} <= set(raw.items.columns)
    assert {"user_id", "age_band", "region"} <= set(raw.queries.columns)
    assert rows(raw.events) == rows(again.events) != rows(other.events)


def test_csv_columns_are_text_so_ids_survive(tmp_path: Path, backend: Any) -> None:
    text = 'q,i,t,x\n007,"a ""b"", c\nd",1,\n8, e 🛒 ,2,yes\n'
    (tmp_path / "events.csv").write_text(text, encoding="utf-8")
    assert rows(read(tables_config(tmp_path), backend).events) == [
        {"q": "007", "i": 'a "b", c\nd', "t": "1", "x": None},
        {"q": "8", "i": " e 🛒 ", "t": "2", "x": "yes"},
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_in_the_header(tmp_path: Path, backend: Any, delimiter: str) -> None:
    lines = [["q", "i", "t"], ["a;a" if delimiter != ";" else "a", "x", "1"]]
    content = "\ufeff" + "\n".join(delimiter.join(line) for line in lines)
    (tmp_path / "events.csv.gz").write_bytes(gzip.compress(content.encode()))
    table = read(tables_config(tmp_path, "events.csv.gz"), backend).events
    assert rows(table) == [dict(zip(*lines, strict=True))]


@pytest.mark.parametrize("pattern", ["log", "log/*.csv", "**/2024-*.csv"])
def test_many_files_are_one_table_by_column_name(tmp_path: Path, backend: Any, pattern: str) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "2024-02.csv").write_text("t,q,i\n2,b,y\n")
    (tmp_path / "log" / "2024-01.csv").write_text("q,i,t\na,x,1\n")
    (tmp_path / "log" / "_SUCCESS").write_text("")
    table = read(tables_config(tmp_path, pattern), backend).events
    assert rows(table.select("q", "i", "t")) == [{"q": "a", "i": "x", "t": "1"}, {"q": "b", "i": "y", "t": "2"}]


def test_parquet_keeps_its_types(tmp_path: Path, backend: Any) -> None:
    pd.DataFrame({"q": [1], "i": ["x"], "t": pd.to_datetime(["2024-01-01"])}).to_parquet(tmp_path / "e.parquet")
    table = read(tables_config(tmp_path, "e.parquet"), backend).events
    assert table["q"].type().is_integer()
    assert table["t"].type().is_timestamp()


def test_a_missing_table_says_what_is_in_its_folder(tmp_path: Path, backend: Any) -> None:
    (tmp_path / "evnets.csv").write_text("q,i,t\n")
    with pytest.raises(DataError, match=r"data.events.path: no table at .*events.csv; .* found in .*: evnets.csv"):
        read(tables_config(tmp_path), backend)
    with pytest.raises(DataError, match=r"found in .*nowhere: no such folder"):
        read(tables_config(tmp_path / "nowhere"), backend)


@pytest.mark.parametrize(
    ("file", "message"), [("events.json", r"found \['.json'\].*\.parquet, .*\.csv"), ("events.csv", "is empty")]
)
def test_files_that_are_no_tables_are_refused(tmp_path: Path, backend: Any, file: str, message: str) -> None:
    (tmp_path / file).write_text("")
    with pytest.raises(DataError, match=message):
        read(tables_config(tmp_path, file), backend)


@pytest.mark.parametrize(
    ("column", "key"), [("q", "data.events.query"), ("i", "data.events.item"), ("t", "data.events.time")]
)
def test_a_missing_column_names_key_file_and_columns(tmp_path: Path, column: str, key: str) -> None:
    names = [name for name in ("q", "i", "t", "other") if name != column]
    (tmp_path / "events.csv").write_text(",".join(names) + "\n" + ",".join("1" for _ in names) + "\n")
    with pytest.raises(DataError) as caught:
        prepare(tables_config(tmp_path), tmp_path / "out")
    assert str(caught.value) == (f"{key}: {tmp_path / 'events.csv'} has no column {column!r}; found {', '.join(names)}")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("events.csv", b"q,i,t\na,x,1\nb,y\n", "Line: 3; Original Line: b,y; Expected Number of Columns: 3 Found: 2"),
        ("events.csv", "q,i,t\né,x,1\n".encode("latin-1"), "(?i)utf-8|unicode"),
        ("events.csv", b"q,i,t,q\na,x,1,b\n", r"the header names .'q'. more than once"),
        ("events.parquet", b"not parquet", "(?i)parquet|magic"),
    ],
)
def test_broken_files_are_an_error_in_one_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        prepare(tables_config(tmp_path, name), tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)

"""Every rule of the first stage on hand-made rows, and that no row is ever lost."""

from __future__ import annotations

import json
import math
import tempfile
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from configs.errors import ConfigError, DataError
from configs.load import load, parse
from configs.schema import Config
from pipelines.prepare import PrepareSummary, load_prepared, prepare
from tests import odd_data

NOW = 2_000_000_000
ITEM_ID = {"name": "item_id", "table": "items", "kind": "id"}


def config(folder: Path, features: list[dict[str, Any]] = (), **data: Any) -> Config:  # type: ignore[assignment]
    """A config over the tables that `write` left in `folder`; `data` merges into its sections."""
    sections: dict[str, Any] = {
        "source": "tables",
        "path": str(folder),
        "events": {"path": "events.parquet", "query": "q", "item": "i", "time": "t", "meaning": "took it"},
        "items": {"id": "id"},
    }
    for key, value in data.items():
        old = sections.get(key)
        sections[key] = {**old, **value} if isinstance(value, dict) and old else value
    return parse({"name": "t", "data": sections, "features": [ITEM_ID, *features]})


def write(folder: Path, name: str, **columns: Any) -> None:
    pq.write_table(pa.table(columns), folder / f"{name}.parquet")


def run(folder: Path, of: Config) -> PrepareSummary:
    return prepare(of, folder / "out", now=NOW)


def events_of(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "out" / "events.parquet")


def quarantine_of(folder: Path) -> list[tuple[str, int, str]]:
    frame = pd.read_parquet(folder / "out" / "quarantine.parquet")
    return list(frame[["table", "row", "reason"]].itertuples(index=False, name=None))


# --- filters --------------------------------------------------------------------------------------------------


def test_filters_are_texts_whatever_the_column_holds(tmp_path: Path) -> None:
    write(tmp_path, "events", q=["a", "a"], i=["x", "y"], t=[1, 2])
    write(
        tmp_path,
        "items",
        id=["x", "y", "z"],
        in_stock=[True, None, False],
        region=[["eu", "us"], [], None],
        rating=pa.array([12, None, 18], pa.int64()),
        brand=["a|b", "", None],
    )
    of = config(tmp_path, items={"path": "items.parquet", "filters": ["in_stock", "region", "rating", "brand"]})
    run(tmp_path, of)
    items = load_prepared(tmp_path / "out").items
    found = {name: items[f"filter_{name}"].tolist() for name in ("in_stock", "region", "rating", "brand")}
    assert found == {
        "in_stock": ["true", "", "false"],
        "region": ["eu|us", "", ""],
        "rating": ["12", "", "18"],
        "brand": ["a|b", "", ""],
    }


def test_a_filter_that_the_table_lacks_is_named(tmp_path: Path) -> None:
    write(tmp_path, "events", q=["a"], i=["x"], t=[1])
    write(tmp_path, "items", id=["x"])
    with pytest.raises(DataError, match=r"data\.items\.filters.*'stock'"):
        run(tmp_path, config(tmp_path, items={"path": "items.parquet", "filters": ["stock"]}))


# --- rows -----------------------------------------------------------------------------------------------------


def test_rows_get_the_first_reason_that_applies(tmp_path: Path) -> None:
    write(
        tmp_path,
        "events",
        q=["a", None, "", "a", "a", "a", "a", "a", "a", "b"],
        i=["x", "x", "x", None, "x", "x", "x", "x", "z", "x"],
        t=["10", "10", "10", "10", None, "soon", "2000000001", "10", "10", "2000000000"],
        k=["view"] * 7 + ["bot", "view", "view"],
    )
    write(tmp_path, "items", id=["x", "y", None, ""])
    of = config(tmp_path, events={"kind": "k", "weights": {"view": 1.5}}, items={"path": "items.parquet"})
    summary = run(tmp_path, of)
    assert quarantine_of(tmp_path) == [
        ("events", 1, "no query id"),
        ("events", 2, "no query id"),
        ("events", 3, "no item id"),
        ("events", 4, "no time"),
        ("events", 5, "unreadable time"),
        ("events", 6, "time in the future"),
        ("events", 7, "kind not in weights"),
        ("events", 8, "item not in the catalogue"),
        ("items", 2, "no item id"),
        ("items", 3, "no item id"),
    ]
    assert (summary.tables["events"].rows, summary.tables["events"].kept) == (10, 2)
    assert (summary.tables["items"].rows, summary.tables["items"].kept) == (4, 2)
    assert (summary.first_time, summary.last_time) == (10, NOW)
    assert events_of(tmp_path)["weight"].tolist() == [1.5, 1.5]
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["tables"]["events"]["kept"] == 2


def test_quarantined_records_are_the_source_rows(tmp_path: Path) -> None:
    write(tmp_path, "events", q=['say "hi"', "a"], i=[None, "x"], t=[5, 5], price=[1.5, 2.0])
    run(tmp_path, config(tmp_path))
    record = pd.read_parquet(tmp_path / "out" / "quarantine.parquet")["record"][0]
    assert json.loads(record) == {"q": 'say "hi"', "i": None, "t": 5, "price": 1.5}


def test_later_repeats_are_set_aside_but_other_kinds_are_not(tmp_path: Path) -> None:
    write(tmp_path, "events", q=["a"] * 5, i=["x"] * 5, t=[1, 1, 1, 2, 1], k=["v", "b", "v", "v", "v"])
    run(tmp_path, config(tmp_path, events={"kind": "k", "weights": {"v": 1, "b": 2}}))
    assert quarantine_of(tmp_path) == [("events", 2, "duplicate"), ("events", 4, "duplicate")]


def test_events_are_sorted_by_time_and_then_by_source_row(tmp_path: Path) -> None:
    rows = 200_000  # several row groups, so that the engine reads them at once
    time = np.arange(rows) % 3
    write(tmp_path, "events", q=[f"q{n}" for n in range(rows)], i=["x"] * rows, t=time)
    run(tmp_path, config(tmp_path))
    expected = np.argsort(time, kind="stable")
    assert events_of(tmp_path)["query"].str[1:].astype(int).tolist() == expected.tolist()


def test_rare_items_leave_both_tables_after_all_other_rules(tmp_path: Path) -> None:
    write(tmp_path, "events", q=["a", "b", "a", "a"], i=["x", "x", "y", "y"], t=[1, 2, 3, 3])
    write(tmp_path, "items", id=["x", "y", "never"])
    summary = run(tmp_path, config(tmp_path, items={"path": "items.parquet"}, min_item_events=2))
    rare = "item has fewer than 2 events"
    assert quarantine_of(tmp_path) == [
        ("events", 2, rare),
        ("events", 3, "duplicate"),
        ("items", 1, rare),
        ("items", 2, rare),
    ]
    assert (summary.events, summary.items, summary.queries) == (2, 1, 2)


CHAIN = (["a", "a", "a", "b", "b", "c"], ["x", "y", "z", "x", "y", "z"], [1, 2, 3, 4, 5, 6])


def test_a_core_is_settled_only_when_nothing_changes(tmp_path: Path) -> None:
    """c has one event; without it z has one; a, b, x and y remain, with two each."""
    write(tmp_path, "events", **dict(zip("qit", CHAIN, strict=True)))
    write(tmp_path, "items", id=["x", "y", "z", "never"])
    write(tmp_path, "queries", id=["a", "b", "c", "idle", None])
    tables: dict[str, Any] = {"items": {"path": "items.parquet"}, "queries": {"path": "queries.parquet", "id": "id"}}
    summary = run(tmp_path, config(tmp_path, min_item_events=2, min_query_events=2, **tables))
    few_items, few_queries = "item has fewer than 2 events", "query has fewer than 2 events"
    assert quarantine_of(tmp_path) == [
        ("events", 2, few_items),
        ("events", 5, few_queries),
        ("items", 2, few_items),
        ("items", 3, few_items),
        ("queries", 2, few_queries),
        ("queries", 3, few_queries),
        ("queries", 4, "no query id"),
    ]
    assert (summary.events, summary.items, summary.queries) == (4, 2, 2)


@pytest.mark.parametrize(
    ("least", "left"),
    [({"min_item_events": 2}, []), ({"min_query_events": 2}, [5]), ({"min_query_events": 3}, [3, 4, 5])],
)
def test_one_minimum_alone_is_not_repeated_for_the_other_side(tmp_path: Path, least: dict, left: list[int]) -> None:
    write(tmp_path, "events", **dict(zip("qit", CHAIN, strict=True)))
    run(tmp_path, config(tmp_path, **least))
    assert [row for _, row, _ in quarantine_of(tmp_path)] == left


def core_of(rows: list[tuple[str, str]], items: int, queries: int) -> list[tuple[str, str]]:
    """The k-core by its definition: leave out what is too rare, all at once, until nothing is."""
    by_query, by_item = Counter(q for q, _ in rows), Counter(i for _, i in rows)
    kept = [(q, i) for q, i in rows if by_query[q] >= queries and by_item[i] >= items]
    return rows if kept == rows else core_of(kept, items, queries)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from("vwxyz")), min_size=1, max_size=25, unique=True),
    st.integers(0, 3),
    st.integers(0, 3),
)
def test_what_remains_is_the_core(pairs: list[tuple[str, str]], items: int, queries: int) -> None:
    expected = core_of(pairs, items, queries)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, "events", q=[q for q, _ in pairs], i=[i for _, i in pairs], t=list(range(len(pairs))))
        of = config(folder, min_item_events=items, min_query_events=queries)
        if not expected:
            with pytest.raises(DataError, match="no usable row"):
                run(folder, of)
            return
        summary = run(folder, of)
        assert list(events_of(folder)[["query", "item"]].itertuples(index=False, name=None)) == expected
        assert sum(summary.tables["events"].quarantined.values()) == len(pairs) - len(expected)


@pytest.mark.parametrize(
    ("column", "kept", "aside"),
    [
        (pa.array([4.5, None, math.nan, math.inf, 1.0]), [4.5, math.nan, math.nan, 1.0], [3]),
        (pa.array([5, None, 3, 2, 1]), [5, math.nan, 3, 2, 1], []),
        (pa.array(["5", "", "good", "3.5", " 4"]), [5, math.nan, 3.5, 4], [2]),
    ],
)
def test_ratings_are_carried_and_unreadable_ones_set_aside(
    tmp_path: Path, column: pa.Array, kept: list[float], aside: list[int]
) -> None:
    write(tmp_path, "events", q=list("abcde"), i=["x"] * 5, t=[5, 4, 3, 2, 1], stars=column)
    run(tmp_path, config(tmp_path, events={"rating": "stars"}))
    assert quarantine_of(tmp_path) == [("events", row, "rating is not a number") for row in aside]
    ratings = load_prepared(tmp_path / "out").ratings
    assert ratings is not None
    assert ratings.dtype == np.float32
    np.testing.assert_array_equal(ratings, np.array(kept[::-1], np.float32))  # by time, as the events are


@pytest.mark.parametrize(
    ("column", "kept", "aside"),
    [
        (pa.array([4.5, None, math.nan, math.inf, -1.0, 0.0]), [4.5, 1, 1, 0], ["is not a number", "below 0"]),
        (pa.array(["5", "", "dear", "3.5", "-2", " 4"]), [5, 1, 3.5, 4], ["is not a number", "below 0"]),
    ],
)
def test_values_are_carried_beside_weights_and_what_cannot_be_one_is_set_aside(
    tmp_path: Path, column: pa.Array, kept: list[float], aside: list[str]
) -> None:
    write(tmp_path, "events", q=list("abcdef"), i=["x"] * 6, t=[6, 5, 4, 3, 2, 1], k=["buy"] * 6, euros=column)
    run(tmp_path, config(tmp_path, events={"value": "euros", "kind": "k", "weights": {"buy": 3.0}}))
    assert [reason for _, _, reason in quarantine_of(tmp_path)] == [f"value {reason}" for reason in aside]
    log = load_prepared(tmp_path / "out").interactions
    assert log.value is not None
    np.testing.assert_array_equal(log.value, np.array(kept[::-1], np.float32))  # by time, as the events are
    np.testing.assert_array_equal(log.weight, 3)
    np.testing.assert_array_equal(log.take(slice(1, 3)).value, log.value[1:3])
    np.testing.assert_array_equal(log.before(4).followed_by(log.between(4, 9)).value, log.value)


def test_no_values_where_the_config_names_none(tmp_path: Path) -> None:
    write(tmp_path, "events", q=["a"], i=["x"], t=[1], value=[5])
    run(tmp_path, config(tmp_path))
    assert load_prepared(tmp_path / "out").interactions.value is None
    with pytest.raises(DataError, match=r"data.events.value: .* has no column 'euros'"):
        run(tmp_path, config(tmp_path, events={"value": "euros"}))


def test_no_ratings_where_the_config_names_none(tmp_path: Path) -> None:
    write(tmp_path, "events", q=["a"], i=["x"], t=[1], rating=[5])
    run(tmp_path, config(tmp_path))
    assert load_prepared(tmp_path / "out").ratings is None
    assert "rating" not in events_of(tmp_path)
    with pytest.raises(DataError, match=r"data.events.rating: .* has no column 'stars'; found q, i, t, rating"):
        run(tmp_path, config(tmp_path, events={"rating": "stars"}))


def test_items_without_events_stay_when_no_minimum_is_set(tmp_path: Path) -> None:
    write(tmp_path, "events", q=["a"], i=["x"], t=[1])
    write(tmp_path, "items", id=["z", "x"])
    assert run(tmp_path, config(tmp_path, items={"path": "items.parquet"})).items == 2


def test_rows_are_numbered_in_the_order_of_ids(tmp_path: Path) -> None:
    write(tmp_path, "events", q=["b", "a", "b"], i=["y", "z", "x"], t=[3, 2, 1])
    run(tmp_path, config(tmp_path))
    prepared = load_prepared(tmp_path / "out")
    assert prepared.items["item"].tolist() == ["x", "y", "z"]
    assert prepared.queries["query"].tolist() == ["a", "b"]
    assert prepared.interactions.item.tolist() == [0, 2, 1]
    assert prepared.interactions.query.tolist() == [1, 0, 1]
    assert prepared.interactions.item.dtype == prepared.interactions.query.dtype == np.int32
    assert prepared.interactions.time.dtype == np.int64
    assert prepared.interactions.weight.dtype == np.float32
    assert list(prepared.kinds) == ["", "", ""]


def test_nothing_usable_is_an_error_that_counts_the_reasons(tmp_path: Path) -> None:
    write(tmp_path, "events", q=["a", "a"], i=["07", "8"], t=[1, 1])
    write(tmp_path, "items", id=[7, 9])
    with pytest.raises(DataError, match=r"no usable row in .*events.parquet .*not in the catalogue: 2"):
        run(tmp_path, config(tmp_path, items={"path": "items.parquet"}))


@pytest.mark.parametrize("table", ["items", "queries"])
def test_a_repeated_id_in_a_static_table_is_refused(tmp_path: Path, table: str) -> None:
    write(tmp_path, "events", q=["a"], i=["x"], t=[1])
    write(tmp_path, table, id=["x", "y", "x", "x"])
    with pytest.raises(DataError, match=rf"data.{table}.id: .*{table}.parquet holds 3 rows with the id 'x' .*1 ids"):
        run(tmp_path, config(tmp_path, [], **{table: {"path": f"{table}.parquet", "id": "id"}}))


ids = st.sampled_from([None, "", "a", "b", " c", '"'])
rows_of_events = st.lists(
    st.tuples(
        ids,
        ids,
        st.sampled_from([None, "1", "2", "x", "1e99", "3000000000", "infinity", "290000-01-01"]),
        st.sampled_from(["v", "w", None]),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows_of_events, st.lists(ids, unique=True), st.integers(0, 2))
def test_rows_in_are_rows_kept_and_rows_set_aside(rows: list[tuple], items: list, least: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        columns = [pa.array([row[c] for row in rows], pa.string()) for c in range(4)]
        write(folder, "events", **dict(zip("qitk", columns, strict=True)))
        write(folder, "items", id=pa.array(items, pa.string()))
        of = config(
            folder,
            events={"kind": "k", "weights": {"v": 1}},
            items={"path": "items.parquet"},
            min_item_events=least,
        )
        try:
            summary = run(folder, of)
        except DataError as error:
            assert "no usable row" in str(error)  # noqa: PT017
            return
        aside = quarantine_of(folder)
        assert summary.tables["events"].rows == len(rows)
        assert summary.tables["items"].rows == len(items)
        for table, account in summary.tables.items():
            assert account.rows == account.kept + sum(account.quarantined.values())
            source_rows = [row for of_table, row, _ in aside if of_table == table]
            assert sorted(set(source_rows)) == source_rows  # each row once
            assert len(source_rows) == account.rows - account.kept
        assert summary.events == len(events_of(folder)) == summary.tables["events"].kept


# --- ids, times and orders ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array(["007", " a ", 'q"uo,te', "é\n🛒"]), ["007", " a ", 'q"uo,te', "é\n🛒"]),
        (pa.array([7, -1, 2**62, 0]), ["7", "-1", str(2**62), "0"]),
        (pa.array([7.0, 8.5, 9.0, 1e15]), ["7", "8.5", "9", "1000000000000000"]),
    ],
)
def test_ids_become_text_and_are_kept_as_they_are(tmp_path: Path, values: pa.Array, expected: list[str]) -> None:
    write(tmp_path, "events", q=values, i=values, t=[1, 2, 3, 4])
    run(tmp_path, config(tmp_path))
    assert events_of(tmp_path)["query"].tolist() == expected
    assert events_of(tmp_path)["item"].tolist() == expected


def test_missing_numeric_ids_are_missing(tmp_path: Path) -> None:
    write(tmp_path, "events", q=[1.0, math.nan, None], i=[1, 1, 1], t=[1, 1, 1])
    run(tmp_path, config(tmp_path))
    assert quarantine_of(tmp_path) == [("events", 1, "no query id"), ("events", 2, "no query id")]


MOMENT = datetime(2024, 5, 1, 12, 30, 15, 999_000)
SECONDS = int(MOMENT.replace(tzinfo=timezone.utc).timestamp())


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (pa.array([SECONDS]), "s", SECONDS),
        (pa.array([SECONDS + 0.9]), "s", SECONDS),
        (pa.array([SECONDS * 1_000 + 999]), "ms", SECONDS),
        (pa.array([SECONDS * 10**6]), "us", SECONDS),
        (pa.array([SECONDS * 10**9]), "ns", SECONDS),
        (pa.array([str(SECONDS * 1_000 + 999)]), "ms", SECONDS),
        (pa.array([MOMENT], pa.timestamp("ms")), "s", SECONDS),
        (pa.array([MOMENT], pa.timestamp("ns")), "s", SECONDS),
        (pa.array([MOMENT], pa.timestamp("us", tz="Europe/Paris")), "s", SECONDS),
        (pa.array([MOMENT.date()]), "s", SECONDS - 45_015),
        (pa.array(["2024-05-01T12:30:15.999Z"]), "s", SECONDS),
        (pa.array(["2024-05-01 12:30:15"]), "s", SECONDS),
        (pa.array(["2024-05-01T14:30:15+02:00"]), "s", SECONDS),
        (pa.array(["2024-05-01"]), "s", SECONDS - 45_015),
    ],
)
def test_times_of_any_form_become_unix_seconds(tmp_path: Path, value: pa.Array, unit: str, expected: int) -> None:
    write(tmp_path, "events", q=["a"], i=["x"], t=value)
    run(tmp_path, config(tmp_path, events={"time_unit": unit}))
    assert events_of(tmp_path)["time"].tolist() == [expected]


def test_order_numbers_are_exact_and_have_no_future(tmp_path: Path) -> None:
    write(tmp_path, "events", q=["a"] * 6, i=["x"] * 6, t=[str(2**60 + 1), str(2**60), "3.5", None, "x", "-3"])
    run(tmp_path, config(tmp_path, events={"time": None, "order": "t"}))
    assert events_of(tmp_path)["time"].tolist() == [-3, 2**60, 2**60 + 1]
    assert [reason for _, _, reason in quarantine_of(tmp_path)] == [
        "unreadable order number",
        "no order number",
        "unreadable order number",
    ]


def test_available_from_is_read_and_may_be_missing_or_in_the_future(tmp_path: Path) -> None:
    write(tmp_path, "events", q=["a"], i=["x"], t=[1])
    write(tmp_path, "items", id=["x", "y", "z", "w"], since=["2024-05-01", None, "4000000000", "spring"])
    run(tmp_path, config(tmp_path, items={"path": "items.parquet", "available_from": "since"}))
    items = load_prepared(tmp_path / "out").items
    assert items["available_from"].tolist() == [1_714_521_600, pd.NA, 4_000_000_000]
    assert quarantine_of(tmp_path) == [("items", 3, "unreadable available_from")]


# --- features -------------------------------------------------------------------------------------------------


def item_features(folder: Path, features: list[dict[str, Any]], **columns: Any) -> pd.DataFrame:
    """The prepared item table for one event on x and items with these columns."""
    write(folder, "events", q=["a"], i=["x"], t=[1])
    write(folder, "items", **columns)
    of = config(folder, [{"table": "items", **feature} for feature in features], items={"path": "items.parquet"})
    run(folder, of)
    return load_prepared(folder / "out").items


def test_features_are_normalised_by_kind(tmp_path: Path) -> None:
    items = item_features(
        tmp_path,
        [
            {"name": "brand", "kind": "category"},
            {"name": "size", "kind": "category"},
            {"name": "tags", "kind": "multi_category", "separator": "/"},
            {"name": "codes", "kind": "multi_category"},
            {"name": "words", "kind": "text"},
            {"name": "price", "kind": "number", "missing": -0.5},
            {"name": "look", "kind": "vector", "width": 2, "column": "embedding"},
        ],
        id=["x", "y"],
        brand=["b", None],
        size=[7.0, math.nan],
        tags=[["t 1", None, "t,2"], None],
        codes=[[1, 2], []],
        words=["a\nb", None],
        price=["12.5", "n/a"],
        embedding=[[0.5, 1.0], None],
    )
    assert items.drop(columns=["available_from", "look"]).to_dict("records") == [
        {
            "item": "x", "title": "x", "item_id": "x", "brand": "b", "size": "7",
            "tags": "t 1/t,2", "codes": "1|2", "words": "a\nb", "price": 12.5,
        },
        {
            "item": "y", "title": "y", "item_id": "y", "brand": "", "size": "",
            "tags": "", "codes": "", "words": "", "price": -0.5,
        },
    ]  # fmt: skip
    assert np.stack(items["look"].tolist()).tolist() == [[0.5, 1.0], [0.0, 0.0]]
    assert np.stack(items["look"].tolist()).dtype == np.float32


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_a_number_without_value_or_default_is_refused(tmp_path: Path, value: float | None) -> None:
    with pytest.raises(DataError) as caught:
        item_features(
            tmp_path,
            [{"name": "price", "kind": "number", "column": "eur"}],
            id=["x", "y", "z"],
            eur=pa.array([1.0, value, 2.0]),
        )
    text = str(caught.value)
    assert "feature 'price': column 'eur' of " in text
    assert "items.parquet: 1 of 3 rows (item 'y' is one)" in text
    assert "expected a finite number, or missing = ... in the feature" in text
    assert "\n" not in text


def test_a_logarithm_of_too_small_a_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"feature 'price': .* 1 of 2 rows .* expected numbers above -1"):
        item_features(tmp_path, [{"name": "price", "kind": "number", "log": True}], id=["x", "y"], price=[0, -1])


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ([[0.5, 1.0], [1.0]], "1 of 2 rows .item 'y' is one.; expected 2 numbers a row"),
        ([[0.5, 1.0], [1.0, math.nan]], "expected finite numbers in every place"),
        ([[0.5, 1.0], [1.0, 1e300]], "expected finite numbers in every place"),
        (["[0.5, 1]", "1 zwei"], "expected finite numbers in every place"),
    ],
)
def test_vectors_of_the_wrong_length_or_with_holes_are_refused(tmp_path: Path, vectors: list, message: str) -> None:
    with pytest.raises(DataError, match=f"feature 'look': column 'look' of .*: {message}|{message}"):
        item_features(tmp_path, [{"name": "look", "kind": "vector", "width": 2}], id=["x", "y"], look=vectors)


def test_a_list_cannot_be_a_category(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"feature 'tags': column 'tags' .* holds array.*expected one value a row"):
        item_features(tmp_path, [{"name": "tags", "kind": "category"}], id=["x"], tags=[["a"]])


def test_titles_fall_back_to_ids_and_may_be_a_feature_too(tmp_path: Path) -> None:
    write(tmp_path, "events", q=["a"], i=["x"], t=[1])
    write(tmp_path, "items", id=["x", "y"], title=["The X", None])
    title = {"name": "title", "table": "items", "kind": "text"}
    run(tmp_path, config(tmp_path, [title], items={"path": "items.parquet", "title": "title"}))
    assert load_prepared(tmp_path / "out").items["title"].tolist() == ["The X", "y"]
    with pytest.raises(ConfigError, match=r"'title' .*'title'.* clashes with data.items.title = 'id'"):
        run(tmp_path, config(tmp_path, [title], items={"path": "items.parquet", "title": "id"}))


def test_queries_without_a_row_have_missing_values(tmp_path: Path) -> None:
    write(tmp_path, "events", q=["b", "a"], i=["x", "x"], t=[1, 2])
    write(
        tmp_path,
        "queries",
        id=["a", "idle", None],
        country=["fr", "de", "es"],
        home=[7, 8, 9],
        age=[30.0, math.nan, 1.0],
    )
    features: list[dict[str, Any]] = [
        {"name": "country", "table": "queries", "kind": "category"},
        {"name": "age", "table": "queries", "kind": "number", "missing": 40},
        {"name": "user", "table": "queries", "kind": "id", "column": "id"},
        {"name": "home", "table": "queries", "kind": "id"},
    ]
    queries = {"path": "queries.parquet", "id": "id"}
    summary = run(tmp_path, config(tmp_path, features, queries=queries))
    assert load_prepared(tmp_path / "out").queries.to_dict("records") == [
        {"query": "a", "country": "fr", "age": 30.0, "user": "a", "home": "7"},
        {"query": "b", "country": "", "age": 40.0, "user": "b", "home": ""},
    ]
    assert (summary.tables["queries"].kept, summary.queries) == (2, 2)
    assert quarantine_of(tmp_path) == [("queries", 2, "no query id")]
    del features[1]["missing"]
    with pytest.raises(DataError, match=r"feature 'age': .*lack queries of the events.*1 of 2 rows .query 'b'"):
        run(tmp_path, config(tmp_path, features, queries=queries))


def test_context_features_follow_the_events(tmp_path: Path) -> None:
    write(
        tmp_path,
        "events",
        q=["a", "b", "c"],
        i=["x", "x", "x"],
        t=[3, 2, 1],
        device=["tv", None, "pc"],
        load=[1.0, 2.0, 3.0],
        mood=[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],
        local=["1970-01-01T01:00:00", None, "60"],
    )
    kinds = {"device": "category", "load": "number", "mood": "vector", "local": "time", "moment": "time"}
    features: list[dict[str, Any]] = [{"name": n, "table": "events", "kind": kind} for n, kind in kinds.items()]
    features[2]["width"] = 2
    features[3]["column"] = "local"  # without it, a time is the event's own
    run(tmp_path, config(tmp_path, features))
    context = load_prepared(tmp_path / "out").interactions.context
    assert context["device"].tolist() == ["pc", "", "tv"]
    assert context["load"].tolist() == [3.0, 2.0, 1.0]
    assert context["mood"].tolist() == [[5.0, 6.0], [3.0, 4.0], [1.0, 2.0]]
    assert context["local"].tolist() == [60, 2, 3600]  # the event's own time where its column says nothing
    assert context["moment"].tolist() == [1, 2, 3]
    assert context["local"].dtype == np.int64


def test_features_of_tables_that_are_not_there_name_the_missing_path(tmp_path: Path) -> None:
    write(tmp_path, "events", q=["a"], i=["x"], t=[1])
    price = {"name": "price", "table": "items", "kind": "number"}
    with pytest.raises(DataError, match=r"feature 'price': .*data.items.path is not set.* has no column 'price'"):
        run(tmp_path, config(tmp_path, [price]))
    plan = {"name": "plan", "table": "queries", "kind": "category"}
    with pytest.raises(DataError, match=r"feature 'plan': .*data.queries.path is not set.* has no column 'plan'"):
        run(tmp_path, config(tmp_path, [plan]))


# --- odd data sets --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_odd_sessions_are_read_the_same_from_both_forms(tmp_path: Path, form: str) -> None:
    (tmp_path / "c.toml").write_text(odd_data.write_sessions(tmp_path, form), encoding="utf-8")
    summary = prepare(load(tmp_path / "c.toml"), tmp_path / "out")
    assert summary.tables["events"].quarantined == odd_data.BAD_ROWS
    prepared = load_prepared(tmp_path / "out")
    assert prepared.items["item"].tolist() == sorted(odd_data.item_ids(), key=str.encode)
    assert (summary.items, summary.queries) == (odd_data.ITEMS, odd_data.SESSIONS)
    block = np.stack(prepared.items["look"].tolist()).argmax(axis=1)
    assert (prepared.items["shelf"] == [f"shelf, {b}" for b in block]).all()
    assert set(prepared.kinds.categories) == set(odd_data.KINDS)
    assert prepared.interactions.time.min() > odd_data.START
    assert prepared.items["title"].tolist()[0].startswith('The "')


def test_an_order_without_a_clock_and_without_an_item_table(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(odd_data.write_ordered(tmp_path, start=2**60), encoding="utf-8")
    summary = prepare(load(tmp_path / "c.toml"), tmp_path / "out")
    prepared = load_prepared(tmp_path / "out")
    assert prepared.interactions.time.tolist() == list(range(2**60, 2**60 + summary.events))
    assert set(prepared.queries["plan"]) == {"", "plan 0", "plan 1", "plan 2"}


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(odd_data.write_sessions(tmp_path), encoding="utf-8")
    of = load(tmp_path / "c.toml")
    for name in ("one", "two"):
        prepare(of, tmp_path / name)
    for file in ("events", "items", "queries", "quarantine"):
        assert (tmp_path / "one" / f"{file}.parquet").read_bytes() == (
            tmp_path / "two" / f"{file}.parquet"
        ).read_bytes()


@pytest.mark.data
def test_movielens_1m_is_the_published_five_core(shared_data: Path, tmp_path: Path) -> None:
    of = load(Path(__file__).parents[2] / "configs" / "movielens-1m.toml", [f"data.path={shared_data / 'ml-1m'}"])
    summary = prepare(of, tmp_path)
    assert (summary.events, summary.items, summary.queries) == (999_611, 3_416, 6_040)

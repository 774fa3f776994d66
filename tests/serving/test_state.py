"""What serving knows besides the graph."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.state import QueryState, State, write_state

ODD = ["it's", 'a "b"', "日本", "line\nbreak", "", " ", "50%", "a_b", "'; DROP TABLE items; --", "\\u0041", "é", "1"]


def written(path, titles=(), queries=()) -> State:
    write_state(path, titles, queries)
    return State(path)


@pytest.fixture
def state(tmp_path) -> State:
    queries = {query: QueryState({"name": query}, [query, "x"], [1, place]) for place, query in enumerate(ODD)}
    return written(tmp_path / "s.sqlite", [(item, f"T {item}") for item in ODD], queries.items())


@pytest.mark.parametrize("query", ODD)
def test_an_odd_query_is_found_as_it_was_written(state, query):
    assert state.query(query) == QueryState({"name": query}, [query, "x"], [1, ODD.index(query)])


@pytest.mark.parametrize("query", ["it", "IT'S", "日", "line", "x", "a?b", "É", "e\u0301", "%", "1.0"])
def test_an_unknown_query_is_none(state, query):
    assert state.query(query) is None


def test_titles_of_odd_items_and_none_of_unknown_ones(state):
    assert state.titles([*ODD, "nobody"]) == {item: f"T {item}" for item in ODD}
    assert state.titles([]) == {}
    assert state.titles(["nobody"]) == {}
    assert state.titles(["é", "é"]) == {"é": "T é"}


def test_titles_of_more_items_than_sqlite_takes_parameters(tmp_path):
    items = [f"i{i}" for i in range(40_000)]
    assert written(tmp_path / "s", [(item, item) for item in items]).titles(items) == {item: item for item in items}


def test_a_query_may_have_nothing(tmp_path):
    assert written(tmp_path / "s", (), [("u", QueryState({}, [], []))]).query("u") == QueryState({}, [], [])


def test_features_of_every_kind_come_back(tmp_path):
    features = {"n": 1.5, "text": "né\n", "vector": [0.1, -2.0], "nothing": None, "long": 2**60}
    assert written(tmp_path / "s", (), [("u", QueryState(features, ["a"], [2**60]))]).query("u").features == features


def test_the_query_with_the_longest_history_is_the_one_to_show(tmp_path):
    queries = {"a": QueryState({}, ["i"], [1]), "b": QueryState({}, ["i", "j"], [1, 2]), "c": QueryState({}, [], [])}
    assert written(tmp_path / "s", (), queries.items()).any_query() == "b"
    assert written(tmp_path / "empty").any_query() is None


def test_a_query_or_item_written_twice_is_refused(tmp_path):
    with pytest.raises(sqlite3.IntegrityError):
        write_state(tmp_path / "items", [("i", "a"), ("i", "b")], ())
    with pytest.raises(sqlite3.IntegrityError):
        write_state(tmp_path / "queries", (), [("u", QueryState({}, [], []))] * 2)


def test_reading_leaves_no_files_beside_it_and_odd_paths_open(tmp_path):
    folder = tmp_path / "a b?c#d%20é"
    folder.mkdir()
    state = written(folder / "s.sqlite", [("i", "t")])
    assert state.titles(["i"]) == {"i": "t"}
    assert [path.name for path in folder.iterdir()] == ["s.sqlite"]


def test_a_published_state_cannot_be_written(state):
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        state._connection.execute("DELETE FROM items")


@settings(deadline=None)  # it waits for a disk
@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.lists(st.text()), max_size=5))
def test_any_text_comes_back(tmp_path_factory, histories):
    queries = {q: QueryState({"f": q}, history, list(range(len(history)))) for q, history in histories.items()}
    state = written(tmp_path_factory.mktemp("any") / "s", [(q, q) for q in histories], queries.items())
    assert {query: state.query(query) for query in histories} == queries
    assert state.titles(list(histories)) == {query: query for query in histories}

"""What is known of a query in all: a version's own state and the store's over it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.state import QueryState
from serving.store import Loaded, Stored, merge

BASE = QueryState({"region": "eu", "age": 1}, ["a", "b", "a"], [10, 20, 30])


def test_nothing_and_one_alone():
    assert merge(None, None) is None
    assert merge(BASE, None) == BASE
    assert merge(BASE, Stored()) == BASE
    assert merge(None, Stored()) == QueryState({}, [], [])
    assert merge(None, Stored([("x", 5)], {"f": 1})) == QueryState({"f": 1}, ["x"], [5])


def test_events_are_added_in_order_of_time_and_behind_the_base_within_a_moment():
    stored = Stored([("c", 20), ("b", 20), ("d", 25), ("a", 31)])
    assert merge(BASE, stored) == QueryState(BASE.features, ["a", "b", "c", "d", "a", "a"], [10, 20, 20, 25, 30, 31])


def test_what_the_base_says_twice_stays_twice():
    twice = QueryState({}, ["a", "a"], [1, 1])  # viewed and bought in one second
    assert merge(twice, Stored([("a", 1), ("b", 1)])) == QueryState({}, ["a", "a", "b"], [1, 1, 1])
    assert merge(twice, Stored((), {}, Loaded(twice, 1))) == twice
    assert merge(None, Stored([("a", 1)], {}, Loaded(twice, 1))) == twice


def test_a_load_adds_what_the_version_does_not_know_yet():
    loaded = Loaded(QueryState({"age": 2, "plan": "x"}, ["a", "b", "a", "e"], [10, 20, 30, 40]), 45)
    found = merge(BASE, Stored([("f", 50), ("e", 40)], {"plan": "y"}, loaded))
    assert found == QueryState({"region": "eu", "age": 2, "plan": "y"}, ["a", "b", "a", "e", "f"], [10, 20, 30, 40, 50])


@pytest.mark.parametrize(("until", "age"), [(None, 2), (40, 2), (45, 2), (46, 1)])
def test_features_of_the_later_data_win_and_those_that_were_set_over_all(until, age):
    loaded = Loaded(QueryState({"age": 2}, [], []), 45)
    assert merge(BASE, Stored((), {}, loaded), until).features == {"region": "eu", "age": age}
    assert merge(BASE, Stored((), {"age": 3}, loaded), until).features["age"] == 3


_PAIRS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 4)), max_size=8, unique=True)


@settings(deadline=None)
@given(_PAIRS, _PAIRS, _PAIRS)
def test_every_pair_is_there_once_in_order_of_time(base, loaded, events):
    states = [QueryState({}, [i for i, _ in pairs], [t for _, t in pairs]) for pairs in (base, loaded)]
    found = merge(states[0], Stored(sorted(events, key=lambda pair: pair[1]), {}, Loaded(states[1], 9)))
    pairs = list(zip(found.history, found.history_time, strict=True))
    assert sorted(pairs) == sorted({*base, *loaded, *events})
    assert found.history_time == sorted(found.history_time)

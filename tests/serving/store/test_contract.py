"""What every store does, in SQLite and in a real Redis alike."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.state import QueryState
from serving.store import Event, Loaded, Store, Stored, StoreError, open_store

LONG = 60.0  # seconds that no answer takes
ODD = ["it's", 'a "b"', "日本", "line\nbreak", " ", "50%", "a_b", "'; DROP TABLE events; --", "[(+-", "é", "1", "nul\0"]


def told(place: str, story: Callable[[Store], Awaitable[Any]], keep: int = 1000) -> Any:
    """Open a store, tell a story with it, and close it."""

    async def tell() -> Any:
        store = await open_store(place, keep, LONG, LONG)
        try:
            return await story(store)
        finally:
            await store.close()

    return asyncio.run(tell())


def event(query: str, item: str, time: int) -> Event:
    return Event(query, item, time)


def state(*pairs: tuple[str, int], **features: Any) -> QueryState:
    return QueryState(features, [item for item, _ in pairs], [time for _, time in pairs])


def plain(stored: Stored | None) -> Any:
    """Lists, tuples and mappings as one, whatever a store makes of them."""
    assert stored is not None
    return [tuple(pair) for pair in stored.events], dict(stored.features), stored.loaded


def test_nothing_is_known_at_first(place):
    async def story(store):
        assert await store.get("u") is None
        assert await store.search("", 10) == []
        await store.ping()

    told(place, story)


def test_events_come_back_oldest_first_and_as_they_came_within_a_moment(place):
    async def story(store):
        assert await store.add([event("u", "z", 20), event("u", "b", 10), event("v", "x", 5), event("u", "a", 20)]) == 4
        assert await store.add([event("u", "m", 15)]) == 1
        assert plain(await store.get("u")) == ([("b", 10), ("m", 15), ("z", 20), ("a", 20)], {}, None)
        assert plain(await store.get("v")) == ([("x", 5)], {}, None)

    told(place, story)


def test_an_event_that_is_there_is_not_added_again(place):
    async def story(store):
        assert await store.add([event("u", "a", 1), event("u", "a", 1)]) == 1
        again = [event("u", "a", 1), event("u", "b", 1), event("u", "a", 2), event("v", "a", 1)]
        assert await store.add(again) == 3
        assert await store.add([]) == 0
        assert plain(await store.get("u"))[0] == [("a", 1), ("b", 1), ("a", 2)]

    told(place, story)


def test_times_are_exact_over_all_of_int64(place):
    times = [-(2**63), -(2**53) - 1, -1, 0, 2**53, 2**53 + 1, 2**63 - 1]

    async def story(store):
        await store.add([event("u", "a", time) for time in reversed(times)])
        assert plain(await store.get("u"))[0] == [("a", time) for time in times]

    told(place, story)


def test_odd_ids_are_ids(place):
    async def story(store):
        await store.add([event(query, item, place) for query in ODD for place, item in enumerate(ODD)])
        for query in ODD:
            assert plain(await store.get(query))[0] == [(item, place) for place, item in enumerate(ODD)]
            assert await store.search(query, 1) == [query]
        assert await store.get("É") is None
        assert await store.search("", 100) == sorted(ODD, key=str.encode)

    told(place, story)


def test_ids_that_are_no_text_are_refused(place):
    for broken in ({"query": "\ud800"}, {"item": "\ud800"}, {"query": ""}, {"item": ""}, {"time": 2**63}):
        with pytest.raises(ValueError, match=next(iter(broken))):
            Event(**{"query": "u", "item": "a", "time": 1, **broken})

    async def story(store):
        for ask in (store.get("\ud800"), store.put("\ud800", {}), store.search("\ud800", 1)):
            with pytest.raises(ValueError, match="UTF-8"):
                await ask
        await store.ping()

    told(place, story)


def test_features_are_set_one_by_one_and_taken_back(place):
    async def story(store):
        await store.put("u", {"region": "eu", "age": 3, "none": None})
        await store.put("u", {"age": 4.5, "taste": [0.1, -2.0], "name": 'né\n"'})
        assert plain(await store.get("u")) == (
            [],
            {"region": "eu", "age": 4.5, "taste": [0.1, -2.0], "name": 'né\n"'},
            None,
        )
        await store.put("u", {"region": None, "taste": None, "name": None})
        assert plain(await store.get("u"))[1] == {"age": 4.5}
        for wrong in ({"a": float("nan")}, {"a": object()}):
            with pytest.raises(ValueError, match="JSON"):
                await store.put("u", wrong)

    told(place, story)


def test_of_each_query_the_latest_to_come_are_kept(place):
    async def story(store):
        await store.add([event("u", f"i{place}", 100 - place) for place in range(4)])
        await store.add([event("v", "x", 1)])
        await store.add([event("u", "late", 50)])
        assert plain(await store.get("u"))[0] == [("late", 50), ("i3", 97), ("i2", 98)]
        assert plain(await store.get("v"))[0] == [("x", 1)]
        await store.add([event("u", f"j{place}", place) for place in range(10)])
        assert plain(await store.get("u"))[0] == [("j7", 7), ("j8", 8), ("j9", 9)]

    told(place, story, keep=3)


def test_a_load_takes_the_place_of_the_one_before(place):
    async def story(store):
        await store.put("v", {"region": "eu"})
        first = {"u": state(("a", 1), ("a", 1), ("b", 2), age=1.0), "v": state(("c", 2)), "w": state(n=None)}
        assert await store.load(first.items(), until=2) == 3
        assert plain(await store.get("u")) == ([], {}, Loaded(first["u"], 2))
        assert plain(await store.get("v")) == ([], {"region": "eu"}, Loaded(first["v"], 2))
        later = {"u": state(("b", 2), ("d", 7))}
        assert await store.load(iter(later.items()), until=7) == 1
        assert plain(await store.get("u")) == ([], {}, Loaded(later["u"], 7))
        assert plain(await store.get("v")) == ([], {"region": "eu"}, None)
        assert await store.get("w") is None
        assert await store.search("", 10) == ["u", "v"]
        with pytest.raises(StoreError, match=r"known at 7; found data that ends at 6"):
            await store.load(first.items(), until=6)
        assert plain(await store.get("u")) == ([], {}, Loaded(later["u"], 7))
        assert await store.load(first.items(), until=7) == 3

    told(place, story)


def test_events_that_were_loaded_are_dropped_and_no_others(place):
    async def story(store):
        await store.add([event("u", "a", 1), event("u", "b", 1), event("u", "a", 3), event("new", "a", 1)])
        await store.load([("u", state(("a", 1), ("z", 2))), ("other", state(("a", 3)))], until=5)
        assert plain(await store.get("u"))[0] == [("b", 1), ("a", 3)]  # what the run did not have stays
        assert plain(await store.get("new"))[0] == [("a", 1)]

    told(place, story)


def test_more_than_one_part_is_loaded(place):
    async def story(store):
        rows = [(f"u{number:05}", state((f"i{number}", number), n=number)) for number in range(2_345)]
        assert await store.load(rows, until=3_000) == 2_345
        assert await store.search("u0", 3) == ["u00000", "u00001", "u00002"]
        for number in (0, 499, 500, 999, 1_000, 2_344):
            assert plain(await store.get(f"u{number:05}"))[2].state == rows[number][1]
        assert await store.load(rows[:1], until=3_000) == 1
        assert await store.search("u", 10) == ["u00000"]

    told(place, story)


def test_old_events_are_pruned(place):
    async def story(store):
        await store.add([event("u", "a", 1), event("u", "b", 5), event("v", "a", 4), event("w", "a", -3)])
        await store.put("w", {"x": 1})
        assert await store.prune(5) == 3
        assert plain(await store.get("u"))[0] == [("b", 5)]
        assert await store.get("v") is None
        assert await store.search("", 10) == ["u", "w"]
        assert await store.prune(5) == 0

    told(place, story)


def test_events_that_came_just_now_are_not_pruned_however_old_their_moment_is(place):
    async def story(store):
        await store.add([event("u", "old", 1), event("v", "old", 1)])
        await asyncio.sleep(1.2)
        await store.add([event("u", "late", 2), event("u", "new", 9)])
        assert await store.prune(5, 1000) == 0
        assert await store.prune(5, 1) == 2
        assert plain(await store.get("u"))[0] == [("late", 2), ("new", 9)]
        assert await store.get("v") is None

    told(place, story)


def test_of_many_events_all_that_are_old_are_pruned(place):
    async def story(store):
        users = [f"u{number:04}" for number in range(900)] + ["\U0010ffff" * 3]
        for user in users[:-2]:  # more than go through at once, in the middle of a user and at its end
            await store.add([event(user, f"i{moment}", moment) for moment in range(3)])
        await store.add([event(users[-2], f"i{moment}", moment) for moment in range(900)])
        await store.add([event(users[-1], "i0", 0)])
        assert await store.prune(2) == 2 * 900 + 1
        assert plain(await store.get(users[0]))[0] == [("i2", 2)]
        assert len((await store.get(users[-2])).events) == 898
        assert users[-1] not in await store.search("", 2000)

    told(place, story)


def test_search_is_by_prefix(place):
    async def story(store):
        await store.add([event(query, "a", 1) for query in ("ab", "abc", "b", "aé")])
        await store.put("abd", {"x": 1})
        await store.load([("abca", state(("a", 1)))], until=1)
        assert await store.search("ab", 10) == ["ab", "abc", "abca", "abd"]
        assert await store.search("ab", 2) == ["ab", "abc"]
        assert await store.search("c", 10) == []
        assert await store.search("aé", 10) == ["aé"]

    told(place, story)


def test_it_is_all_there_when_it_is_opened_again(place):
    async def first(store):
        await store.add([event("u", "a", 1)])
        await store.put("u", {"x": 1})
        await store.load([("u", state(("b", 2), y=2))], until=2)

    async def then(store):
        assert plain(await store.get("u")) == ([("a", 1)], {"x": 1}, Loaded(state(("b", 2), y=2), 2))

    told(place, first)
    told(place, then)


def test_many_add_and_read_at_once(place):
    async def story(store):
        added = await asyncio.gather(*(store.add([event(f"u{n % 7}", f"i{n}", n)]) for n in range(300)))
        assert added == [1] * 300
        found = await asyncio.gather(*(store.get(f"u{n}") for n in range(7)))
        assert sum(len(one.events) for one in found) == 300

    told(place, story)


def test_two_servers_share_what_they_know(place):
    async def story(store):
        other = await open_store(place, 1000, LONG, LONG)
        try:
            await store.add([event("u", "a", 1)])
            await other.add([event("u", "a", 1), event("u", "b", 2)])
            assert plain(await store.get("u"))[0] == plain(await other.get("u"))[0] == [("a", 1), ("b", 2)]
        finally:
            await other.close()

    told(place, story)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from("uv"), st.sampled_from("abc"), st.integers(-3, 3)), max_size=12))
def test_what_is_added_in_any_parts_is_what_comes_back(place, tmp_path_factory, rows):
    if place.startswith("sqlite"):
        place = str(tmp_path_factory.mktemp("any") / "store.sqlite")

    async def story(store):
        await store.prune(100)
        for query, item, time in rows:
            await store.add([event(query, item, time)])
        for query in "uv":
            expected = sorted(dict.fromkeys((i, t) for q, i, t in rows if q == query), key=lambda pair: pair[1])
            stored = await store.get(query)
            assert [tuple(pair) for pair in (stored.events if stored else ())] == expected

    told(place, story)


@pytest.mark.parametrize("address", ["", "sqlite:", "mysql://x", "redis://host:port"])
def test_addresses_that_are_none(address):
    with pytest.raises(StoreError, match="expected"):
        asyncio.run(open_store(address))


def test_no_tensorflow_is_imported():
    code = (
        "import sys, serving.store, serving.store.sqlite, serving.store.redis, serving.logs\n"
        "assert not {'tensorflow', 'pandas', 'ibis'} & set(sys.modules), sorted(sys.modules)\n"
        "import pipelines.load_state, pipelines.run\n"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

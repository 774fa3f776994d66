"""Columns that give the future away are named, and their innocent neighbours are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipelines.diagnose.leaks import Column, leaks
from tests.pipelines.diagnose.worlds import DAY, START, observed, popular

ITEMS, QUERIES, EVENTS = 300, 400, 12_000


def world(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """query, item, time of a log of 60 days in which the last quarter of the items enters after day 50."""
    rng = np.random.default_rng(seed)
    day = np.sort(rng.uniform(0, 60, EVENTS))
    new = np.arange(ITEMS) % 4 == 3
    item = popular(rng, EVENTS, ITEMS, 0.7)
    item = np.where(new[item] & (day < 54.5), item - 1, item)  # the test window begins on day 54
    return rng.integers(0, QUERIES, EVENTS), item, START + (day * DAY).astype(int)


def columns(table: str, kind: str, values: dict[str, Any], **feature: Any) -> dict[str, Column]:
    """What is found of columns of one kind, given as arrays over the items, queries or events of `world`."""
    query, item, time = world()
    features = tuple({"name": name, "table": table, "kind": kind, **feature} for name in values)
    given = {"events": "context"}.get(table, table)
    found = leaks(observed(query, item, time, features=features, n_items=ITEMS, **{given: values}))
    return {column.name: column for column in found.columns}


def counted(before: float) -> np.ndarray:
    _, item, time = world()
    return np.bincount(item[time < START + before * DAY], minlength=ITEMS).astype(float)


def test_counts_of_the_whole_log_are_caught_and_counts_of_the_past_are_not() -> None:
    rng = np.random.default_rng(1)
    found = columns(
        "items",
        "number",
        {
            "sold": counted(60),
            "sold_about": np.round(np.log1p(counted(60)), 1),
            "sold_before": counted(48),
            "price": rng.lognormal(0, 1, ITEMS),
            "appeal": np.log(counted(48) + 1) + rng.normal(0, 0.3, ITEMS),  # what made them popular, not a count
        },
    )
    assert {name for name, column in found.items() if column.counts_future} == {"sold", "sold_about"}
    assert "counts events of the time that is judged" in found["sold"].suspicion
    price = found["price"].future
    assert price is not None
    assert price.low < 0.1


def test_dates_after_the_event_are_caught_in_any_form() -> None:
    _, item, time = world()
    first = pd.Series(time).groupby(item).min().reindex(range(ITEMS), fill_value=START).to_numpy()
    numbers = columns(
        "items",
        "number",
        {
            "listed": first - 5 * DAY,
            "last_sale": first + 9 * DAY,
            "changed_ms": (first + 9 * DAY) * 1_000.0,
            "year": np.full(ITEMS, 2_019.0) + np.arange(ITEMS) % 5,
            "reissued": np.where(np.arange(ITEMS) < 30, 2_030.0, 2_010.0),
            "mass": np.arange(ITEMS) * 3.7,
        },
    )
    assert {name for name, column in numbers.items() if column.dated_later} == {"last_sale", "changed_ms", "reissued"}
    assert {name for name, column in numbers.items() if column.dates} == set(numbers) - {"mass"}
    assert numbers["listed"].dates is not None
    assert (numbers["listed"].dates.reads, numbers["listed"].dates.later) == ("times", 0.0)
    assert numbers["reissued"].dates is not None
    assert numbers["reissued"].dates.reads == "years"

    def iso(shift: int) -> np.ndarray:
        return (first + shift).astype("datetime64[s]").astype(str).astype(object)

    texts = columns("items", "category", {"prior": iso(-DAY), "same": iso(0), "to": iso(2 * DAY), "code": iso(0)[::-1]})
    assert texts["prior"].dates is not None
    assert texts["prior"].dates.later == 0
    assert texts["same"].dates is not None
    assert texts["same"].dates.later == 0  # the same day may be the same moment
    assert texts["to"].dated_later
    words = columns("items", "category", {"brand": np.array(["2024", "x"], object)[np.arange(ITEMS) % 2]})
    assert words["brand"].dates is None


def test_context_that_is_written_later_is_caught() -> None:
    _, _, time = world()
    rng = np.random.default_rng(2)
    found = columns(
        "events",
        "number",
        {
            "load": rng.random(EVENTS),
            "shipped": time + 3.0 * DAY,
            "counter": np.arange(EVENTS) + rng.normal(0, 50, EVENTS),
        },
    )
    assert found["load"].suspicion == ""
    assert found["load"].side is not None
    assert found["load"].side.auc == pytest.approx(0.5, abs=0.03)
    assert found["shipped"].dated_later
    assert found["counter"].tells_side
    assert found["counter"].with_time == pytest.approx(1, abs=0.01)
    late = time > START + 54 * DAY
    release = np.where(late, rng.choice(["4.1", "4.2"], EVENTS), rng.choice(["3.9", "4.0"], EVENTS))
    device = rng.choice(["phone", "desk"], EVENTS)
    found = columns("events", "category", {"app": release.astype(object), "device": device.astype(object)})
    assert found["app"].tells_side
    assert not found["device"].tells_side


def test_context_that_tells_the_item_is_caught() -> None:
    _, item, _ = world()
    rng = np.random.default_rng(4)
    page = np.where(rng.random(EVENTS) < 0.8, item, rng.integers(0, ITEMS, EVENTS))
    listed = {"page": page.astype(str).astype(object), "shelf": (item % 5).astype(str).astype(object)}
    session = {"session": (np.arange(EVENTS) // 3).astype(str).astype(object)}  # seen in one half alone
    found = columns("events", "category", listed | session)
    assert found["page"].names == pytest.approx(0.78, abs=0.03)
    assert found["page"].suspicion.startswith("it tells which item is taken")
    assert not found["shelf"].names_item
    assert found["session"].names is None
    paid = columns("events", "number", {"paid": item * 1.5 + 3, "cart": rng.integers(1, 9, EVENTS) * 1.0})
    assert paid["paid"].names_item
    assert not paid["cart"].names_item


def test_columns_of_newcomers() -> None:
    """Words, lists and vectors of items that only come late; random ones beside them tell nothing."""
    rng = np.random.default_rng(3)
    new = np.arange(ITEMS) % 4 == 3
    noise = np.array([f"w{n}" for n in rng.integers(0, 9, ITEMS)], object)
    marked = np.where(new, "fresh", "old").astype(object)
    texts = columns("items", "text", {"name": noise + " " + marked, "blurb": noise})
    assert texts["name"].tells_side
    assert not texts["blurb"].tells_side
    many = columns("items", "category", {"code": np.array([f"c{n}" for n in rng.integers(0, 90, ITEMS)], object)})[
        "code"
    ]
    assert many.side is not None
    assert many.side.auc < many.side.chance  # a code for every three items is not learned by heart
    lists = columns("items", "multi_category", {"tags": noise + "|" + marked, "more": noise + "|x"})
    assert lists["tags"].tells_side
    assert not lists["more"].tells_side
    vectors = columns(
        "items",
        "vector",
        {"look": list(np.stack([new + 0.1, rng.random(ITEMS)], axis=1)), "sound": list(rng.random((ITEMS, 2)) + 0.1)},
        width=2,
    )
    assert vectors["look"].tells_side
    assert not vectors["sound"].tells_side


@pytest.mark.parametrize(("kind", "there", "lacks", "feature"), [
    ("category", "shoes", "", {}),
    ("number", 3.5, -1.0, {"missing": -1}),
    ("vector", [1.0, 2.0], [0.0, 0.0], {"width": 2}),
])  # fmt: skip
def test_what_only_newcomers_lack(kind: str, there: Any, lacks: Any, feature: dict[str, Any]) -> None:
    new = np.arange(ITEMS) % 4 == 3
    rng = np.random.default_rng(4)

    def filled(missing: np.ndarray) -> pd.Series:
        return pd.Series([lacks if gone else there for gone in missing])

    found = columns("items", kind, {"gone": filled(new), "patchy": filled(rng.random(ITEMS) < 0.3)}, **feature)
    assert found["gone"].lacks_late
    assert found["gone"].missing is not None
    assert (found["gone"].missing.early, found["gone"].missing.late) == (0.0, 1.0)
    assert not found["patchy"].lacks_late


def test_queries_are_asked_too() -> None:
    query, *_ = world()
    rng = np.random.default_rng(5)
    visits = np.bincount(query, minlength=QUERIES).astype(float)
    found = columns("queries", "number", {"visits": visits, "age": rng.integers(18, 70, QUERIES).astype(float)})
    assert found["visits"].counts_future
    assert not found["age"].counts_future
    assert found["age"].side is None  # everyone is there from the first days: nobody to compare with


def test_an_item_cannot_be_taken_before_it_is_available() -> None:
    query, item, time = world()
    since = pd.array([START + 30 * DAY if n == 0 else pd.NA for n in range(ITEMS)], "Int64")
    found = leaks(observed(query, item, time, items={"available_from": since}, n_items=ITEMS))
    early = (item == 0) & (time < START + 30 * DAY)
    assert found.before_available == pytest.approx(early.mean())
    assert leaks(observed(query, item, time)).before_available is None


def test_ids_and_the_events_own_time_are_not_asked() -> None:
    query, item, time = world()
    features = (
        {"name": "user", "table": "queries", "kind": "id"},
        {"name": "moment", "table": "events", "kind": "time"},
        {"name": "sent", "table": "events", "kind": "time", "column": "sent_at"},
    )
    names = [f"q{n}" for n in range(QUERIES)]
    context = {"moment": time, "sent": time + 60}
    found = leaks(observed(query, item, time, context=context, queries={"user": names}, features=features))
    (sent,) = found.columns
    assert sent.name == "sent"
    assert sent.dated_later


def test_without_cuts_dates_are_still_looked_at() -> None:
    features = ({"name": "seen", "table": "items", "kind": "number"},)
    found = leaks(
        observed([0, 0], [0, 1], [START, START], items={"seen": [START + 1.0, START + 1.0]}, features=features)
    )
    (seen,) = found.columns
    assert seen.dated_later
    assert (seen.side, seen.future, seen.missing) == (None, None, None)

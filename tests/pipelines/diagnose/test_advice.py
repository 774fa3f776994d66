from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipelines.diagnose import diagnose
from pipelines.diagnose.rules import RULES, design_of
from tests.pipelines.diagnose.test_feedback import dear
from tests.pipelines.diagnose.test_popularity import shifting
from tests.pipelines.diagnose.worlds import DAY, START, blocks, observed, plain

WARM = dict.fromkeys(RULES, False) | {"enough": True, "choice": True, "differ": True}
NEW = {"new items": True, "content": True}


@pytest.mark.parametrize(
    ("answers", "design"),
    [
        ({}, "collaborative"),
        ({"enough": False}, "popularity"),
        ({"choice": False, "large": True}, "popularity"),
        ({"differ": False, **NEW}, "popularity"),
        ({"differ": None}, "collaborative"),
        ({"new items": True}, "collaborative"),  # nothing to place them by
        (NEW, "hybrid"),
        ({**NEW, "new queries": True}, "two-tower"),
        ({"large": True}, "two-tower"),
        ({**NEW, "mostly new": True}, "content"),
        ({"new items": True, "mostly new": True}, "popularity"),
        ({"new items": None, "mostly new": None, "new queries": None, "recent": None}, "collaborative"),
    ],
)
def test_the_first_design_that_fits(answers: dict, design: str) -> None:
    assert design_of(WARM | answers)[0] == design


def test_what_could_not_be_told_and_what_is_recent_is_said() -> None:
    assert "could not be told" in design_of(WARM | {"differ": None})[1]
    assert "Recent popularity is strong" in design_of(WARM | {"recent": True})[1]
    assert "Recent" not in design_of(WARM)[1]


def settings(of) -> dict[str, str]:
    return {one.setting: one.reason for one in diagnose(of).advice.settings}


def test_worlds_get_the_design_that_was_planted() -> None:
    assert diagnose(plain(events=60_000, queries=6_000)).advice.design == "popularity"
    assert diagnose(blocks()).advice.design == "collaborative"


def test_repeats_are_kept_where_they_are_common() -> None:
    rng = np.random.default_rng(0)
    query = rng.integers(0, 100, 4_000)
    item = query % 4 + 4 * rng.integers(0, 5, 4_000)  # five items each, over and over
    log = (query, item, START + rng.integers(0, 60 * DAY, 4_000))
    assert 'data.seen_items = "keep"' in settings(observed(*log, n_items=100))
    assert 'data.seen_items = "keep"' not in settings(observed(*log, n_items=100, data={"seen_items": "keep"}))
    once = (np.repeat(np.arange(100), 40), np.tile(np.arange(40), 100), log[2])
    assert not any("seen_items" in one for one in settings(observed(*once)))


def test_uneven_weights_are_brought_closer() -> None:
    assert "42.4% of the weight" in settings(dear(100))["data.events.weights"]
    events = {"path": "e.csv", "query": "q", "item": "i", "order": "t", "meaning": "took it", "value": "worth"}
    assert "logarithms" in settings(dear(100, data={"events": events}))["data.events.value"]
    assert not any("data.events" in one for one in settings(dear(10)))


def test_short_lives_roll() -> None:
    rng = np.random.default_rng(0)
    query = np.repeat(np.arange(1_000), 5)
    time = START + query * 3_600 + np.tile(np.arange(5) * 60, 1_000)
    sessions = (query, query % 4 + 4 * rng.integers(0, 40, 5_000), time)
    found = settings(observed(*sessions))
    assert "0.0%" in found['split.history = "rolling"'] or "0.5%" in found['split.history = "rolling"']
    assert 'split.history = "rolling"' not in settings(observed(*sessions, split={"history": "rolling"}))
    assert 'split.history = "rolling"' not in settings(blocks())


def test_a_shorter_window_is_tried_where_the_shortest_wins() -> None:
    found = settings(shifting(10))
    assert 'baselines.windows = ["1d", "7d", "30d"]' in found
    assert not any("windows" in one for one in settings(plain(events=20_000, queries=2_000)))


def test_a_long_test_window_gets_a_horizon() -> None:
    rng = np.random.default_rng(0)
    day = np.concatenate([rng.uniform(0, 60, 4_000), rng.uniform(60, 400, 450)])  # nine tenths in the first two months
    log = (rng.integers(0, 100, len(day)), rng.integers(0, 100, len(day)), START + (day * DAY).astype(int))
    assert 'split.horizon = "30d"' in settings(observed(*log))
    assert 'split.horizon = "30d"' not in settings(observed(*log, split={"horizon": "10d"}))


def test_new_items_ask_for_content() -> None:
    """Items live for three days, and nothing is known of them but their ids."""
    rng = np.random.default_rng(0)
    day = rng.uniform(0, 60, 8_000)
    item = (day * 10).astype(int) + rng.integers(0, 30, 8_000)
    log = (rng.integers(0, 200, 8_000), item, START + (day * DAY).astype(int))
    bare = diagnose(observed(*log)).advice
    assert "[[features]] of items" in {one.setting for one in bare.settings}
    assert next(one for one in bare.answers if one.question == RULES["new items"].question).holds is True
    shelf = {"name": "shelf", "table": "items", "kind": "category"}
    known = diagnose(observed(*log, items={"shelf": "a"}, features=(shelf,))).advice
    assert not any("[[features]]" in one.setting for one in known.settings)


def test_suspects_are_named() -> None:
    rng = np.random.default_rng(0)
    item = np.minimum(rng.geometric(0.02, 6_000) - 1, 199)
    sold = np.bincount(item, minlength=200).astype(float)
    features = ({"name": "sold", "table": "items", "kind": "number"},)
    time = START + rng.integers(0, 60 * DAY, 6_000)
    found = settings(observed(rng.integers(0, 100, 6_000), item, time, items={"sold": sold}, features=features))
    assert "counts events" in found["feature sold (items)"]


def test_items_without_events_ask_for_dates_where_they_have_none() -> None:
    rng = np.random.default_rng(0)
    log = (rng.integers(0, 100, 4_000), np.arange(4_000) % 90, START + rng.integers(0, 60 * DAY, 4_000))
    advised = settings(observed(*log, n_items=100))
    assert "10 items of 100 have no date and no event" in advised["data.items.available_from"]
    entered = pd.array([pd.NA] * 90 + [START] * 10, "Int64")
    for other in (
        observed(*log, n_items=100, items={"available_from": entered}),
        observed(*log, n_items=90),
        observed(*log, n_items=100, trend={"undated": "new"}),
        observed(*log, n_items=100, trend={"enabled": False}),
    ):
        assert "data.items.available_from" not in settings(other)

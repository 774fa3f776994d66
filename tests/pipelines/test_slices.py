"""Groups of requests and of items, by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipelines.dataset import Dataset
from pipelines.evaluation.slices import only, request_slices, slices_of_items, slices_of_requests, target_slices
from pipelines.prepare import Prepared
from pipelines.split import Cut, Cuts
from pipelines.tables import Ragged
from pipelines.trend import Trend, available_times
from tests import world
from tests.pipelines.baselines.worlds import events, requests

# counts before the cut at 100: item 0 six, item 1 three, item 2 two, item 3 one, items 4 and 5 none
LOG = events(
    [(0, 0, time) for time in (0, 1, 2, 3, 4, 5)]
    + [(0, 1, time) for time in (6, 7, 95)]
    + [(0, 2, 92), (0, 2, 93), (0, 3, 50), (0, 4, 100), (0, 0, 101)]
)


CUTS = Cuts(Cut(1, 40), Cut(2, 60), Cut(3, 100), Cut(4, 102), np.searchsorted([40, 60, 100], LOG.time, "right"))


def _dataset(available=(np.nan,) * 6, segments=("b", "", "a"), **changes):
    queries = pd.DataFrame({"query": ["x", "y", "z"], "region": segments})
    tables = Prepared(LOG, pd.DataFrame({"item": range(6)}), queries, pd.Categorical([""] * len(LOG)))
    at = available_times(np.array(available), LOG, 6)
    return Dataset(world.config(changes), tables, CUTS, at, Trend((10,), 5))


@pytest.fixture
def asked():
    """Requests with histories of 9, 10, 49, 50, 199, 200 and 300 items, by queries 0, 1, 2, 0, 1, 2, 0."""
    return requests([(n % 3, [0] * length) for n, length in enumerate((9, 10, 49, 50, 199, 200, 300))])


def _rows(slices):
    return {name: rows.tolist() for name, rows in slices.items()}


def test_requests_by_length_of_history_and_by_segment(asked):
    assert _rows(request_slices(_dataset(), asked)) == {
        "history 1-9": [0],
        "history 10-49": [1, 2],
        "history 50-199": [3, 4],
        "history 200+": [5, 6],
        "region unknown": [1, 4],
        "region a": [2, 5],
        "region b": [0, 3, 6],
    }


def test_slices_without_requests_are_left_out(asked):
    assert _rows(request_slices(_dataset(), asked.take(np.array([1])))) == {"history 10-49": [0], "region unknown": [0]}


def test_without_a_segment_there_are_lengths_alone(asked):
    slices = request_slices(_dataset(**{"data.segment": None}), asked)
    assert all(name.startswith("history") for name in slices)


def test_segments_are_codes_with_minus_one_for_unknown():
    assert _dataset().segment.tolist() == [1, -1, 0]


def test_items_by_popularity_and_age():
    slices = {name: np.flatnonzero(mask).tolist() for name, mask in target_slices(_dataset(), CUTS.test).items()}
    assert slices == {
        "head items": [0],  # six of twelve events: half of them
        "tail items": [1, 2, 3],
        "new items": [2],  # first seen in the last tenth
        "items without events": [4, 5],
    }


def test_the_head_is_as_small_as_can_be_and_takes_at_least_half():
    slices = target_slices(_dataset(), Cut(3, 4))  # four events, all of item 0
    assert np.flatnonzero(slices["head items"]).tolist() == [0]
    head = target_slices(_dataset(), Cut(3, 101))["head items"]  # six of thirteen are less than half
    assert np.flatnonzero(head).tolist() == [0, 1]


def test_a_known_release_says_when_an_item_is_new():
    available = [np.nan, 94.0, 0.0, 91.0, np.nan, np.nan]
    slices = target_slices(_dataset(available), CUTS.test)
    # item 2's release is where the log begins and says nothing: its first event counts
    assert np.flatnonzero(slices["new items"]).tolist() == [1, 2, 3]


def test_targets_can_be_narrowed_and_rows_stay():
    targets = Ragged(np.array([0, 2, 2, 4]), np.array([3, 1, 1, 2]))
    kept = only(targets, np.array([False, True, False, True]))
    assert [kept[row].tolist() for row in range(3)] == [[3, 1], [], [1]]


def _named(slices):
    return {one.name: np.flatnonzero(one.mask).tolist() for one in slices}


def test_every_slice_of_requests_by_hand():
    data = world.dataset(world.config(), world.log())
    some = data.test_requests.take(np.arange(4))
    # the last second of a Friday, the first of a Saturday, the last of a Sunday, and six on Monday
    clock = np.array([2 * world.DAY - 1, 2 * world.DAY, 4 * world.DAY - 1, 4 * world.DAY + 6 * 3600])
    asked = replace(some, query=np.array([0, 1, 4, 5]), time=clock, context={"device": np.array(["tv", "", "tv", "b"])})
    asked = replace(asked, history=Ragged(np.array([0, 9, 19, 20, 70]), np.zeros(70, int)))
    assert _named(slices_of_requests(data, asked)) == {
        "history 1-9": [0, 2],
        "history 10-49": [1],
        "history 50-199": [3],
        "region north": [1, 3],  # of every fourth query the region is not known
        "region unknown": [0, 2],
        "device b": [3],
        "device tv": [0, 2],
        "device unknown": [1],
        "hour of day 0-5": [1],
        "hour of day 6-11": [3],
        "hour of day 18-23": [0, 2],
        "day of week Monday to Friday": [0, 3],
        "day of week Saturday, Sunday": [1, 2],
    }


def test_of_many_values_the_largest_dozen_stand_alone():
    queries = world.queries()
    # value v00 has five queries, v01 to v11 have four, the eleven others one
    values = ["v00"] * 5 + [f"v{1 + n // 4:02}" for n in range(44)] + [f"w{n:02}" for n in range(11)]
    data = world.dataset(world.config(), world.log(), queries=queries.assign(region=values))
    asked = replace(data.test_requests, query=np.arange(60), context={"device": np.full(60, "tv")})
    asked = replace(asked, time=np.zeros(60, np.int64), history=Ragged(np.arange(61), np.zeros(60, int)))
    found = {one.name: one.mask.sum() for one in slices_of_requests(data, asked) if one.dimension == "region"}
    assert found == {"region v00": 5, **{f"region v{n:02}": 4 for n in range(1, 12)}, "region: the rest": 11}


def test_without_a_clock_there_are_no_hours():
    changes = {"data.events": {"path": "e", "query": "u", "item": "i", "order": "time", "meaning": "taken"}}
    features = [one for one in world.config().model_dump()["features"] if one["kind"] != "time"]
    trend = {"windows": [7 * world.DAY], "bucket": world.DAY}
    data = world.dataset(world.config(changes | {"features": features, "trend": trend}), world.log())
    found = {one.dimension for one in slices_of_requests(data, data.test_requests)}
    assert found == {"history", "region", "device"}
    ages = [one.name for one in slices_of_items(data, data.cuts.test) if one.dimension == "item age"]
    assert "item age over 25% of the log" in ages


def test_items_by_age():
    day = world.DAY
    moment = 1000 * day
    taken = events([(0, 0, 0), (0, 1, 0), (0, 2, moment - 1), (0, 3, moment - 7 * day), (0, 4, moment - 7 * day - 1)])
    late = events([(0, 0, moment)])
    log = taken.followed_by(late)
    cuts = Cuts(Cut(1, 1), Cut(2, 2), Cut(3, moment), Cut(4, moment + 1), np.array([0, 0, 2, 2, 2, 3]))
    available = np.array([np.nan] * 6 + [moment - 30 * day, moment - 180 * day - 1, moment + 1])
    items = world.items().iloc[:9]
    tables = Prepared(log, items, world.queries(), pd.Categorical([""] * len(log)))
    data = Dataset(world.config(), tables, cuts, available_times(available, log, 9), Trend((10,), 5))
    found = [one for one in slices_of_items(data, cuts.test) if one.dimension == "item age"]
    assert _named(found) == {
        "item age up to 7 days": [2, 3],
        "item age over 7 days, up to 30 days": [4, 6],
        "item age over 180 days": [0, 1, 7],
        "item age unknown": [5],  # never taken, and nobody says since when it is there
        "item age not out yet": [8],
    }


def test_items_by_popularity_decile():
    counts = [12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    rows = [(0, item, n) for item, count in enumerate(counts) for n in range(count)]
    found = _named(one for one in _of_items(rows, 13) if one.dimension == "popularity decile")
    assert found == {
        **{f"popularity decile {n}": items for n, items in enumerate([[0, 1], [2], [3], [4], [5], [6, 7]], 1)},
        **{f"popularity decile {n}": [item] for n, item in zip(range(7, 11), range(8, 12), strict=True)},
        "popularity decile none (no events)": [12],
    }


def test_items_by_category_may_be_in_several_and_the_rest_is_named():
    genres = ["a|b", "b", "", "c", "a| a", *(f"x{n:02}" for n in range(12))]
    # a is taken twice, b and each x once, c never: the largest dozen by events are a, b and x00 to x09
    rows = [(0, item, item) for item in (0, 4, *range(5, 17))]
    found = _named(one for one in _of_items(rows, 17, genres=genres) if one.dimension == "genres")
    assert found["genres a"] == [0, 4]
    assert found["genres: none"] == [2]
    assert found["genres b"] == [0, 1]
    assert found["genres: the rest"] == [3, 15, 16]
    assert len(found) == 14


def _of_items(rows, items, **columns):
    log = events([*rows, (0, 0, 100)])
    cuts = Cuts(Cut(1, 1), Cut(2, 2), Cut(3, 100), Cut(4, 101), np.zeros(len(log), int))
    table = world.items().iloc[:items].assign(**columns)
    tables = Prepared(log, table, world.queries(), pd.Categorical([""] * len(log)))
    data = Dataset(world.config(), tables, cuts, available_times(np.full(items, np.nan), log, items), Trend((10,), 5))
    return slices_of_items(data, cuts.test)

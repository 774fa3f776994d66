"""Groups of requests and of items, by hand."""

import numpy as np
import pandas as pd
import pytest

from pipelines.dataset import Dataset
from pipelines.evaluation.slices import only, request_slices, target_slices
from pipelines.prepare import Prepared
from pipelines.split import Cuts
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


def _dataset(available=(np.nan,) * 6, segments=("b", "", "a"), **changes):
    queries = pd.DataFrame({"query": ["x", "y", "z"], "region": segments})
    tables = Prepared(LOG, pd.DataFrame({"item": range(6)}), queries, pd.Categorical([""] * len(LOG)))
    at = available_times(np.array(available), LOG, 6)
    return Dataset(world.config(changes), tables, Cuts(40, 60, 100, 102), at, Trend((10,), 5))


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
    slices = {name: np.flatnonzero(mask).tolist() for name, mask in target_slices(_dataset(), 100).items()}
    assert slices == {
        "head items": [0],  # six of twelve events: half of them
        "tail items": [1, 2, 3],
        "new items": [2],  # first seen in the last tenth
        "items without events": [4, 5],
    }


def test_the_head_is_as_small_as_can_be_and_takes_at_least_half():
    slices = target_slices(_dataset(), 4)  # four events, all of item 0
    assert np.flatnonzero(slices["head items"]).tolist() == [0]
    head = target_slices(_dataset(), 101)["head items"]  # six of thirteen are less than half
    assert np.flatnonzero(head).tolist() == [0, 1]


def test_a_known_release_says_when_an_item_is_new():
    available = [np.nan, 94.0, 0.0, 91.0, np.nan, np.nan]
    slices = target_slices(_dataset(available), 100)
    # item 2's release is where the log begins and says nothing: its first event counts
    assert np.flatnonzero(slices["new items"]).tolist() == [1, 2, 3]


def test_targets_can_be_narrowed_and_rows_stay():
    targets = Ragged(np.array([0, 2, 2, 4]), np.array([3, 1, 1, 2]))
    kept = only(targets, np.array([False, True, False, True]))
    assert [kept[row].tolist() for row in range(3)] == [[3, 1], [], [1]]

"""The funnel: every fate once by hand, and against a naive reading of the log in random worlds."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.dataset import Dataset
from pipelines.evaluation.funnel import (
    FATES,
    Funnel,
    Funnels,
    Stages,
    fates,
    funnel,
    funnels,
    held_out,
    load_funnels,
    save_funnels,
    taken_by_newcomers,
    taken_in_test,
    with_not_asked,
)
from pipelines.evaluation.metrics import hits
from pipelines.evaluation.slices import slices_of_items, slices_of_requests
from pipelines.prepare import Prepared
from pipelines.split import Cut, Cuts
from pipelines.tables import Candidates
from pipelines.trend import Trend, available_times
from tests import world
from tests.pipelines.baselines.worlds import events
from tests.pipelines.evaluation.worlds import random_dataset, random_stages

LIST_K, K = 2, 4
# query 0 has taken item 0; in the window, from 100 on, it takes items 9 (out at 105), 0 (again) and 1 to 7
HISTORY = [(0, 0, 0), (1, 8, 1), (2, 0, 2)]
TAKEN = [9, 0, 1, 2, 3, 4, 5, 6, 7, 5]
WINDOW = [(0, item, 110 + place) for place, item in enumerate(TAKEN)]
# query 1 takes again what it had and what is not out; query 3 is new; query 2 does not come back
OTHERS = [(1, 8, 120), (1, 9, 121), (3, 4, 122), (3, 9, 123)]


def _dataset(log=(*HISTORY, *WINDOW, *OTHERS), **changes) -> Dataset:
    log = events(list(log))
    cuts = Cuts(Cut(1, 40), Cut(2, 60), Cut(3, 100), Cut(4, 200), np.searchsorted([40, 60, 100], log.time, "right"))
    available = np.full(10, np.nan)
    available[9] = 105
    tables = Prepared(log, pd.DataFrame({"item": range(10)}), world.queries(), pd.Categorical([""] * len(log)))
    config = world.config({key.replace("__", "."): value for key, value in changes.items()})
    return Dataset(config, tables, cuts, available_times(available, log, 10), Trend((10,), 5))


# item 7 is retrieved though others score higher; item 6 is shown though the ranker has it third
STAGES = Stages(
    exact=np.array([[1, 2, 3, 4]]),
    retrieved=np.array([[1, 2, 6, 7, 3]]),
    ranked=np.array([[1, 2, 6, 3, 7]]),
    shown=np.array([[1, 6]]),
)
EXPECTED = {
    9: "absent",
    0: "filtered",
    1: "shown",
    2: "reranked out",
    3: "ranked out",
    4: "missed",
    5: "below K",
    6: "shown",
    7: "ranked out",
}


def _lost(dataset: Dataset, stages: Stages = STAGES, requests=None) -> dict[int, str]:
    requests = requests or dataset.test_requests
    held = held_out(dataset, requests, taken_in_test(dataset))
    eligible = dataset.eligible(dataset.cuts.test)
    fate = fates(held, requests, eligible, dataset.filter_seen, stages, LIST_K)
    return {int(item): FATES[number] for item, number in zip(held.values, fate, strict=True)}


def test_every_fate_once_by_hand():
    dataset = _dataset()
    assert dataset.test_requests.query.tolist() == [0]
    assert _lost(dataset) == EXPECTED
    assert set(EXPECTED.values()) == set(FATES)


def test_what_is_kept_is_not_filtered():
    dataset = _dataset(data__seen_items="keep")
    only_first = dataset.test_requests.take(np.array([0]))
    assert _lost(dataset, requests=only_first) == EXPECTED | {0: "below K"}


def test_what_comes_late_was_absent_even_if_a_list_holds_it_and_what_was_seen_is_filtered():
    everywhere = Stages(*(np.array([[9, 0, 8, -1]]) for _ in range(4)))
    lost = _lost(_dataset(), everywhere)
    assert (lost[9], lost[0]) == ("absent", "filtered")


def test_queries_that_are_not_judged_lose_all_as_absent_or_filtered():
    dataset = _dataset([*HISTORY, (4, 8, 3), *WINDOW, *OTHERS, (4, 1, 130)])
    requests, taken = dataset.test_requests, taken_in_test(dataset)
    assert (requests.query.tolist(), taken.query.tolist()) == ([0, 4], [0, 1, 4])
    held = held_out(dataset, requests, taken)
    fate = np.arange(len(held.values)) % 2 + FATES.index("ranked out")
    everything, lost = with_not_asked(held, fate, requests, taken, dataset.eligible(dataset.cuts.test))
    assert [everything[row].tolist() for row in range(3)] == [held[0].tolist(), [8, 9], [1]]
    ours = len(held[0])
    assert [FATES[number] for number in lost[ours : ours + 2]] == ["filtered", "absent"]
    assert [*lost[:ours], *lost[ours + 2 :]] == fate.tolist()


def test_newcomers_have_a_funnel_of_their_own():
    dataset = _dataset()
    asked = dataset.newcomers
    held = held_out(dataset, asked, taken_by_newcomers(dataset))
    assert (asked.query.tolist(), held[0].tolist()) == ([3], [4, 9])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"split__targets": "next"}, [9, 0, 1]),  # what is taken after the next admissible item is not asked for
        ({"split__targets": "last"}, [7]),
        ({"split__horizon": "15s"}, TAKEN[:5]),  # from the cut, at 100, to 115
        ({"split__horizon": "15s", "split__targets": "last"}, [3]),
    ],
)
def test_only_what_is_asked_for_is_held_out(changes, expected):
    dataset = _dataset(**changes)
    assert list(_lost(dataset)) == expected


def test_the_last_item_takes_with_it_what_follows_and_cannot_be_recommended():
    dataset = _dataset([*HISTORY, (0, 1, 110), (0, 2, 111), (0, 0, 112), (0, 9, 113)], split__targets="last")
    assert list(_lost(dataset)) == [2, 0, 9]


def test_with_rolling_histories_only_what_follows_the_request_is_held_out():
    dataset = _dataset(split__history="rolling")
    requests = dataset.test_requests.take(np.flatnonzero(dataset.test_requests.query == 0))
    place = int(requests.time[0]) - 110
    held = held_out(dataset, requests, taken_in_test(dataset))
    assert held[0].tolist() == list(dict.fromkeys(TAKEN[place:]))


def test_a_funnel_says_what_is_left():
    one = Funnel("all", "all", "all", (1, 2, 3, 0, 4, 5, 6))
    assert one.total == 21
    assert one.left_after() == (20, 18, 15, 15, 11, 6)


def test_it_is_read_back_as_it_was(tmp_path):
    found = Funnels(4, 2, 1, 2, (Funnel("all", "all", "all", (1,) * 7),), None)
    save_funnels(found, tmp_path)
    assert load_funnels(tmp_path) == found


PROTOCOLS = st.fixed_dictionaries(
    {},
    optional={
        "split__history": st.sampled_from(["cut", "rolling"]),
        "split__targets": st.sampled_from(["all_future", "next", "last"]),
        "split__horizon": st.sampled_from(["1d", "3d"]),
        "data__seen_items": st.sampled_from(["filter", "keep"]),
    },
)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), changes=PROTOCOLS)
def test_fates_add_up_to_the_held_out_items_in_every_slice(seed, changes):
    rng = np.random.default_rng(seed)
    dataset = random_dataset(rng, **changes)
    requests = dataset.test_requests
    if not len(requests):
        return
    stages = random_stages(rng, requests, 6, 3)
    held = held_out(dataset, requests, taken_in_test(dataset))
    eligible = dataset.eligible(dataset.cuts.test)
    fate = fates(held, requests, eligible, dataset.filter_seen, stages, 3)
    judged = {
        (row, item): _naive(item, row, requests, eligible, dataset.filter_seen, stages)
        for row in range(len(requests))
        for item in _taken(dataset, requests, row)
    }
    assert {
        (int(row), int(item)): FATES[number] for row, item, number in zip(held.rows, held.values, fate, strict=True)
    } == judged
    assert len(held.values) == len(judged)
    # From here on of all who come back: those who are not asked had no list to find anything in.
    taken = taken_in_test(dataset)
    held, fate = with_not_asked(held, fate, requests, taken, eligible)
    place = [taken.query.tolist().index(query) for query in requests.query.tolist()]
    expected = {(place[row], item): lost for (row, item), lost in judged.items()}
    for row in np.flatnonzero(~np.isin(taken.query, requests.query)).tolist():
        for item in taken.targets[row].tolist():
            expected[row, item] = "filtered" if eligible[item] else "absent"
            assert not eligible[item] or (dataset.filter_seen and item in taken.history[row])
    slices = [*slices_of_requests(dataset, taken), *slices_of_items(dataset, dataset.cuts.test)]
    found = funnels(held, fate, slices)
    assert found[0].total == len(expected)
    assert dict(zip(FATES, found[0].counts, strict=True)) == dict.fromkeys(FATES, 0) | Counter(expected.values())
    by_name = {(one.of, one.slice): one for one in found}
    for part in slices:
        within = {
            (row, item): lost
            for (row, item), lost in expected.items()
            if part.mask[row if part.of == "requests" else item]
        }
        if not within:
            assert (part.of, part.name) not in by_name
            continue
        counts = dict(zip(FATES, by_name[part.of, part.name].counts, strict=True))
        assert counts == dict.fromkeys(FATES, 0) | Counter(within.values())
    for dimension in {part.dimension for part in slices} - {"genres", "group of items"}:  # the others are partitions
        parts = [one.counts for one in found if one.dimension == dimension]
        assert tuple(np.sum(parts, axis=0)) == found[0].counts


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), changes=PROTOCOLS)
def test_what_is_neither_absent_nor_filtered_is_what_metrics_call_targets(seed, changes):
    rng = np.random.default_rng(seed)
    dataset = random_dataset(rng, **changes)
    requests = dataset.test_requests
    if not len(requests):
        return
    stages = random_stages(rng, requests, 6, 3)
    held = held_out(dataset, requests, taken_in_test(dataset))
    fate = fates(held, requests, dataset.eligible(dataset.cuts.test), dataset.filter_seen, stages, 3)
    kept = fate > FATES.index("filtered")
    assert held.values[kept].tolist() == requests.targets.values.tolist()
    assert held.rows[kept].tolist() == requests.targets.rows.tolist()
    shown = hits(Candidates(stages.shown, stages.shown, "list"), requests.targets, 3)
    assert funnel(held, fate).counts[FATES.index("shown")] == shown.sum()


def _taken(dataset, requests, row) -> list[int]:
    """Distinct items of the query in the test window from the request on: read off the log, one event at a time."""
    config, cut = dataset.config.split, dataset.cuts.test
    start = int(requests.time[row])
    since = start if config.history == "rolling" else cut.moment
    length = {None: np.inf, "1d": world.DAY, "3d": 3 * world.DAY}[config.horizon]
    log = dataset.log
    mine = [
        int(item)
        for query, item, time in zip(log.query, log.item, log.time, strict=True)
        if query == requests.query[row] and time >= max(start, cut.moment) and time < since + length
    ]
    mine = list(dict.fromkeys(mine))
    if config.targets != "all_future":
        if config.history == "rolling" and config.targets == "last":
            return mine
        place = mine.index(int(requests.targets[row][0]))
        return mine[: place + 1] if config.targets == "next" else mine[place:]
    return mine


def _naive(item, row, requests, eligible, filter_seen, stages) -> str:
    if not eligible[item]:
        return "absent"
    if filter_seen and item in requests.history[row]:
        return "filtered"
    if item in stages.shown[row]:
        return "shown"
    if item in stages.ranked[row][:3]:
        return "reranked out"
    if item in stages.retrieved[row]:
        return "ranked out"
    return "missed" if item in stages.exact[row] else "below K"

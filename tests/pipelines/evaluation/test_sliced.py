"""Slices judged: values and differences by hand, what is too small to tell, and changes between runs."""

from dataclasses import replace

import numpy as np
import pytest

from pipelines.evaluation.results import Results
from pipelines.evaluation.sliced import (
    Rivals,
    SliceResults,
    by_chance,
    changes,
    digest_of,
    judge_slices,
    load_slices,
    regressions,
    save_slices,
)
from pipelines.evaluation.slices import Slice
from pipelines.tables import Candidates, Ragged
from tests import world

N, K = 40, 2
# request r wants item 0 and, every second one, item 1 too
TARGETS = Ragged.from_rows(
    np.concatenate([np.arange(N), np.arange(0, N, 2)]), np.concatenate([np.zeros(N, int), np.ones(N // 2, int)]), N
)
RIVALS = [Rivals("final list", f"recall@{K}", "popularity", "kNN")]
EVEN = np.arange(N) % 2 == 0
SLICES = [
    Slice("requests", "side", "side even", EVEN),
    Slice("requests", "side", "side odd", ~EVEN),
    Slice("requests", "side", "side few", np.arange(N) < 4),
    Slice("requests", "side", "side nobody", np.zeros(N, bool)),
    Slice("targets", "kind", "kind first", np.array([True, False, False])),
    Slice("targets", "kind", "kind second", np.array([False, True, False])),
    Slice("targets", "kind", "kind unwanted", np.array([False, False, True])),
]


def _results(rows) -> Results:
    items = np.array(rows, np.int32)
    return Results.of(Candidates(items, items.astype(np.float32), "x"), TARGETS, K)


# ours shows item 0 to all; popularity item 1 to all; kNN both to the even and nothing wanted to the odd
RESULTS = {
    "final list": _results([[0, 2]] * N),
    "popularity": _results([[1, 2]] * N),
    "kNN": _results([[0, 1] if row % 2 == 0 else [2, -1] for row in range(N)]),
}


def _judged(min_users=10, rivals=RIVALS):
    found = list(judge_slices(RESULTS, TARGETS, SLICES, rivals, min_users))
    return {row.slice: row for row, _ in found}, {row.slice: values for row, values in found}


def test_values_and_differences_by_hand():
    rows, values = _judged()
    assert {name: (row.n, row.value.mean, row.popularity.value, row.baseline.value) for name, row in rows.items()} == {
        "all": (40, 0.75, 0.25, 0.5),
        "side even": (20, 0.5, 0.5, 1.0),
        "side odd": (20, 1.0, 0.0, 0.0),
        "side few": (4, 0.75, 0.25, 0.5),
        "kind first": (40, 1.0, 0.0, 0.5),  # of the targets, item 0 alone
        "kind second": (20, 0.0, 1.0, 1.0),
    }
    odd = rows["side odd"].baseline.difference
    assert (odd.mean, odd.low, odd.high) == (1.0, 1.0, 1.0)
    assert np.isnan(values["side even"]).tolist() == (~EVEN).tolist()
    assert values["kind second"][EVEN].tolist() == [0.0] * 20


def test_what_a_difference_says():
    rows, _ = _judged()
    assert {name: (row.popularity.status, row.baseline.status) for name, row in rows.items()} == {
        "all": ("better", "better"),  # half of the requests win 1, half lose .5: two standard errors above 0
        "side even": ("level", "worse"),
        "side odd": ("better", "better"),
        "side few": ("too few to tell", "too few to tell"),
        "kind first": ("better", "better"),
        "kind second": ("worse", "worse"),
    }
    assert rows["all"].baseline.difference.mean == pytest.approx(0.25)


def test_the_floor_of_requests_decides_what_can_be_told():
    rows, _ = _judged(min_users=21)
    told = {name for name, row in rows.items() if row.popularity.status != "too few to tell"}
    assert told == {"all", "kind first"}


def test_regressions_come_first_the_largest_loss_before_all():
    rows, _ = _judged()
    found = regressions(SliceResults("", 10, tuple(rows.values())))
    assert [row.slice for row in found] == ["kind second", "side even"]
    assert by_chance(list(rows.values())) == pytest.approx(0.025 * 5 * 2)  # the small one is told nothing of


def test_worse_than_the_strongest_popularity_alone_is_worse_and_names_it():
    rows, _ = _judged()
    row = rows["side odd"]
    assert row.against is row.hardest
    loss = replace(row.popularity, status="worse", difference=replace(row.popularity.difference, mean=-0.2))
    row = replace(row, popularity=loss)
    assert row.against is loss
    assert regressions(SliceResults("", 10, (row,))) == [row]
    more = replace(loss, rival="kNN", difference=replace(loss.difference, mean=-0.3))
    assert replace(row, baseline=more).against is more  # of two, the one it loses most to


def test_where_popularity_is_the_strongest_there_is_one_rival():
    rows, _ = _judged(rivals=[Rivals("final list", f"recall@{K}", "popularity", "popularity")])
    assert rows["all"].baseline is None
    assert rows["all"].hardest == rows["all"].popularity


def _saved(folder, asked="a", loss=0.0):
    """A run whose even requests are worth `loss` less, and which was asked `asked`."""
    folder.mkdir()
    rows, values = zip(*judge_slices(RESULTS, TARGETS, SLICES[:2], RIVALS, 10), strict=True)
    values = [one - loss * EVEN for one in values]
    rows = tuple(
        replace(row, value=replace(row.value, mean=float(np.nanmean(one))))
        for row, one in zip(rows, values, strict=True)
    )
    save_slices(SliceResults(asked, 10, rows), values, folder)
    return folder


def test_what_is_saved_is_read_back(tmp_path):
    folder = _saved(tmp_path / "run")
    rows = load_slices(folder).rows
    assert [row.slice for row in rows] == ["all", "side even", "side odd"]
    assert rows == tuple(row for row, _ in judge_slices(RESULTS, TARGETS, SLICES[:2], RIVALS, 10))


def test_runs_that_were_asked_the_same_are_compared_in_pairs(tmp_path):
    found = changes(_saved(tmp_path / "now", loss=0.2), _saved(tmp_path / "before"))
    assert [(one.now.slice, one.against.status, one.paired) for one in found] == [
        ("side even", "worse", True),
        ("all", "worse", True),
        ("side odd", "level", True),
    ]
    even = found[0].against
    assert (even.rival, even.value) == ("previous run", 0.5)
    # the same loss for all: a difference in pairs is sure, whatever the values vary
    assert (even.difference.low, even.difference.high) == pytest.approx((-0.2, -0.2))


def test_runs_that_were_asked_something_else_are_compared_by_their_intervals(tmp_path):
    found = changes(_saved(tmp_path / "now", loss=0.2), _saved(tmp_path / "before", asked="b"))
    assert not any(one.paired for one in found)
    one = next(one for one in found if one.now.slice == "all")
    width = one.now.value.high - one.now.value.low
    assert one.against.difference.mean == pytest.approx(-0.1)
    assert one.against.difference.high - one.against.difference.low == pytest.approx(width * np.sqrt(2))


def test_slices_that_the_other_run_does_not_know_are_left_out(tmp_path):
    folder = _saved(tmp_path / "now")
    rows = load_slices(folder).rows
    other = tmp_path / "before"
    other.mkdir()
    save_slices(SliceResults("a", 10, rows[:1]), [np.zeros(N)], other)
    assert [one.now.slice for one in changes(folder, other)] == ["all"]


def test_newcomers_may_be_more_or_fewer_than_the_requests(tmp_path):
    rows = [row for row, _ in judge_slices(RESULTS, TARGETS, SLICES[:1], RIVALS, 10)]
    save_slices(SliceResults("a", 10, tuple(rows)), [np.ones(3), np.zeros(5)], tmp_path)
    np.testing.assert_array_equal(np.load(tmp_path / "slices.npz")["values"][0], [1, 1, 1, np.nan, np.nan])


def test_requests_are_known_again_by_who_asks_and_what_is_taken():
    dataset = world.dataset(world.config(), world.log())
    requests = dataset.test_requests
    same = digest_of(dataset, requests)
    assert digest_of(world.dataset(world.config(), world.log()), requests) == same
    assert digest_of(dataset, requests.take(np.arange(len(requests) - 1))) != same
    later = world.dataset(world.config({"split.test": 0.92}), world.log())
    assert digest_of(later, later.test_requests) != same

"""The leaderboard: the same numbers as one comparison at a time."""

import numpy as np
import pytest

from pipelines.evaluation.bootstrap import interval, paired_interval
from pipelines.evaluation.compared import samples_for, status_of, strongest, strongest_popularity
from pipelines.evaluation.leaderboard import leaderboard, load_leaderboard, save_leaderboard
from pipelines.evaluation.metrics import coverage, effective_items, gini
from pipelines.evaluation.results import Results
from pipelines.evaluation.scoreboard import scoreboard
from pipelines.evaluation.variety import ItemFacts, per_list
from pipelines.tables import Candidates, Ragged
from tests import world

DEPTHS, LIST_K = (2, 4), 2


@pytest.fixture(scope="module")
def made():
    """Random lists of four for the world's requests; the final list is shorter."""
    rng = np.random.default_rng(0)
    dataset = world.dataset(world.config(), world.log())
    requests = dataset.test_requests

    def lists(width):
        items = np.stack([rng.permutation(world.ITEMS)[:width] for _ in range(len(requests))]).astype(np.int32)
        items[:, 0] = [
            requests.targets[row][0] if rng.random() < 0.4 else items[row, 0] for row in range(len(requests))
        ]
        return Results.of(Candidates(items, items.astype(np.float32), "x"), requests.targets, *DEPTHS)

    baselines = {"popularity": lists(4), "popularity 7d": lists(4), "kNN": lists(4)}
    ours = {"towers": lists(4), "final list": lists(2)}
    # categories are unknown of every third item: some lists have no diversity
    share = np.linspace(0.01, 1, world.ITEMS)
    codes = [[item % 5] if item % 3 else [] for item in range(world.ITEMS)]
    rows = np.repeat(np.arange(world.ITEMS), [len(one) for one in codes])
    facts = ItemFacts(Ragged.from_rows(rows, np.array([c for one in codes for c in one]), world.ITEMS), share=share)
    eligible = np.ones(world.ITEMS, bool)
    board = leaderboard(baselines, ours, requests, LIST_K, eligible, facts, "popularity 7d")
    return board, baselines, ours, requests, facts, eligible


def _triple(one):
    return (one.mean, one.low, one.high)


def test_every_metric_has_the_interval_that_it_has_alone(made):
    board, baselines, ours, requests, *_ = made
    for name, result in {**baselines, **ours}.items():
        for metric, values in result.metrics.items():
            alone = interval(values, samples=samples_for(len(requests)))
            assert _triple(board.value(name, metric)) == pytest.approx(_triple(alone))


def test_every_difference_is_paired_by_request(made):
    board, baselines, ours, requests, *_ = made
    for name, result in {**baselines, **ours}.items():
        for rival, other in {**baselines, **ours}.items():
            for metric, values in result.metrics.items():
                if metric not in other.metrics:
                    continue
                alone = paired_interval(values, other.metrics[metric], samples=samples_for(len(requests)))
                assert _triple(board.difference(name, rival, metric)) == pytest.approx(_triple(alone), abs=1e-12)


def test_blocks_of_metrics_change_nothing(made, monkeypatch):
    board, baselines, ours, *_, eligible = made
    monkeypatch.setattr("pipelines.evaluation.scoreboard._BLOCK", 1)
    found = scoreboard(baselines, ours, LIST_K, eligible)
    np.testing.assert_allclose(found.values, board.values, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.differences, board.differences, rtol=0, atol=1e-12)


def test_equal_contenders_are_not_told_apart_by_rounding():
    values = np.random.default_rng(0).random(101)
    same = {f"copy {n}": Results(np.zeros((101, 1), int), {"ndcg@1": values}) for n in range(5)}
    assert not scoreboard(same, {}, 1, np.ones(2, bool)).differences.any()


def test_a_list_too_short_for_a_depth_has_no_number_there(made):
    board = made[0]
    assert np.isnan(board.value("final list", "ndcg@4").mean)
    assert board.value("final list", "ndcg@4").n == 0
    assert np.isnan(board.difference("final list", "kNN", "ndcg@4").mean)
    assert board.value("final list", "ndcg@2").n == board.requests


def test_qualities_of_lists_leave_out_where_they_cannot_be_said(made):
    board, baselines, ours, requests, facts, _ = made
    lists = {
        name: Candidates(result.items[:, :LIST_K], np.zeros((len(requests), LIST_K)), "x")
        for name, result in {**baselines, **ours}.items()
    }
    found = {name: per_list(one, requests, LIST_K, facts, lists["popularity 7d"]) for name, one in lists.items()}
    assert set(board.qualities) == {"category_diversity", "novelty", "serendipity"}
    diversity = found["final list"]["category_diversity"]
    assert np.isnan(diversity).any()
    assert board.quality("final list", "category_diversity").mean == pytest.approx(np.nanmean(diversity))
    for rival in board.rivals:
        gap = np.nanmean(diversity - found[rival]["category_diversity"])
        assert board.quality_difference("final list", rival, "category_diversity").mean == pytest.approx(gap)
    assert board.quality("popularity 7d", "serendipity").mean == 0


def test_what_all_lists_show_together(made):
    board, baselines, _, _, _, eligible = made
    shown = Candidates(baselines["kNN"].items, baselines["kNN"].items, "x")
    assert board.shown("kNN") == pytest.approx(
        {
            name: of(shown, eligible, LIST_K)
            for name, of in (("coverage", coverage), ("gini", gini), ("effective_items", effective_items))
        }
    )


def test_rivals_are_the_strongest_popularity_and_the_strongest_baseline(made):
    board, baselines, *_ = made
    means = {name: result.mean("ndcg@2") for name, result in baselines.items()}
    assert board.rivals[0] == max(("popularity", "popularity 7d"), key=means.__getitem__)
    assert board.rivals[1] == max(means, key=means.__getitem__)


def test_the_strongest_is_named_among_those_who_have_the_metric():
    short = Results(np.zeros((2, 1), int), {"ndcg@1": np.array([1.0, 1.0])})
    long = Results(np.zeros((2, 2), int), {"ndcg@1": np.array([0.0, 1.0]), "ndcg@2": np.array([0.0, 1.0])})
    results = {"kNN": short, "popularity": long}
    assert strongest(results, "ndcg@1") == "kNN"
    assert strongest(results, "ndcg@2") == "popularity"
    assert strongest_popularity(results, "ndcg@1") == "popularity"


def test_it_is_read_back_as_it_was(made, tmp_path):
    board = made[0]
    save_leaderboard(board, tmp_path)
    read = load_leaderboard(tmp_path)
    for name, value in vars(board).items():
        np.testing.assert_array_equal(getattr(read, name), value)
    assert read.value("kNN", "ndcg@2") == board.value("kNN", "ndcg@2")


@pytest.mark.parametrize(
    ("values", "n", "expected"),
    [
        ([0.1] * 30, 30, "better"),
        ([-0.1] * 30, 30, "worse"),
        ([0.1, -0.1] * 15, 30, "level"),
        ([0.0] * 30, 30, "level"),
        ([0.1] * 30, 31, "too few to tell"),
        ([], 1, "too few to tell"),
    ],
)
def test_what_an_interval_of_a_difference_says(values, n, expected):
    assert status_of(interval(np.array(values)), n) == expected


def test_resamples_are_fewer_for_many_requests():
    assert [samples_for(n) for n in (0, 10_000, 20_000, 50_000, 10**7)] == [2000, 2000, 1000, 400, 200]

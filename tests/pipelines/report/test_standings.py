from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from configs.load import load
from pipelines.evaluation.results import Results
from pipelines.evaluation.scoreboard import scoreboard
from pipelines.report.references import reference_values
from pipelines.report.standings import standings
from tests.pipelines.report.runs import LIST_K, K, make_config


def _result(ndcg: list[float], recall: list[float] | None = None) -> Results:
    metrics = {f"ndcg@{LIST_K}": np.array(ndcg)}
    if recall is not None:
        metrics[f"recall@{K}"] = np.array(recall)
    items = np.array([[0, 1, 2, 3, 4], [0, 5, 2, 3, 4]])
    return Results(items, metrics)


@pytest.fixture
def board(tmp_path):
    baselines = {
        "popularity": _result([0.2, 0.4], [0.1, 0.1]),
        "ALS": _result([0.1, 0.3], [0.2, 0.4]),
        "popularity 7d": _result([0.1, 0.1], [0.15, 0.15]),
    }
    ours = {"towers": _result([0.4, 0.4], [0.3, 0.3]), "final list": _result([0.5, 0.5])}
    eligible = np.array([True] * 6 + [False] * 2)
    return standings(make_config(tmp_path), scoreboard(baselines, ours, LIST_K, eligible))


def test_best_comes_first(board) -> None:
    assert [entry.name for entry in board.entries] == ["final list", "towers", "popularity", "ALS", "popularity 7d"]
    assert board.best("recall@5") == pytest.approx(0.3)


def test_strongest_is_said_by_metric_and_among_popularities(board) -> None:
    assert board.strongest == {"ndcg@2": "popularity", "recall@5": "ALS"}
    assert board.popular == {"ndcg@2": "popularity", "recall@5": "popularity 7d"}
    assert board.model == {"ndcg@2": "final list", "recall@5": "towers"}


def test_differences_are_paired_and_to_every_contender(board) -> None:
    behind = board.entry("popularity").measures["ndcg@2"].behind
    # 0.5 - 0.2 = 0.3 and 0.5 - 0.4 = 0.1: mean 0.2, and resamples lie between the two.
    assert behind.mean == pytest.approx(0.2)
    assert (behind.low, behind.high) == (pytest.approx(0.1), pytest.approx(0.3))
    # Every request is 0.1 ahead of the towers: pairing leaves no width.
    towers = board.entry("towers").measures
    assert (towers["ndcg@2"].behind.low, towers["ndcg@2"].behind.high) == (pytest.approx(0.1),) * 2
    assert board.entry("final list").measures["ndcg@2"].behind is None
    assert "recall@5" not in board.entry("final list").measures
    assert towers["recall@5"].behind is None
    assert board.entry("ALS").measures["recall@5"].behind.mean == pytest.approx(0.0)


def test_catalogue_metrics_count_eligible_items_in_the_list(board) -> None:
    # Lists of 2 show items 0, 1 and 0, 5: three of six. Exposure 0 0 0 1 1 2 by size:
    # Gini = (-5 x 0 - 3 x 0 - 1 x 0 + 1 x 1 + 3 x 1 + 5 x 2) / (6 x 4) = 14 / 24.
    assert board.entry("final list").coverage == pytest.approx(3 / 6)
    assert board.entry("final list").gini == pytest.approx(14 / 24)


def test_metrics_are_known_with_their_depths(board) -> None:
    assert board.every_metric == {"ndcg": (2,), "recall": (5,)}
    board = replace(board, entries=(replace(board.entries[0], means={"ndcg@10": 0.1, "ndcg@5": 0.1}),))
    assert board.every_metric == {"ndcg": (5, 10)}


def test_the_final_list_and_the_towers_meet_every_baseline(board) -> None:
    final, towers = board.pairs
    assert (final.stage, final.metrics) == ("final list", ("ndcg@2",))
    assert (towers.stage, towers.metrics) == ("towers", ("ndcg@2", "recall@5"))
    assert list(towers.rows) == ["popularity", "ALS", "popularity 7d"]
    gap = towers.rows["ALS"]["recall@5"]  # 0.3 - 0.2 and 0.3 - 0.4
    assert (gap.mean, gap.low, gap.high) == (pytest.approx(0.0), pytest.approx(-0.1), pytest.approx(0.1))
    assert final.rows["popularity"]["ndcg@2"] == board.entry("popularity").measures["ndcg@2"].behind


def test_references_belong_to_one_protocol(tmp_path) -> None:
    assert reference_values(make_config(tmp_path, name="movielens-1m")) == {}  # the name alone says nothing
    file, data = Path("configs/movielens-1m.toml"), [f"data.path={tmp_path}"]
    assert reference_values(load(file, data))["EASE"] == {"ndcg@10": 0.269, "recall@100": 0.262}
    for change in ("split.test=0.95", "data.min_item_events=0", "split.history=rolling", "gate.list_k=5"):
        assert reference_values(load(file, [*data, change])) == {}

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from configs.load import load
from pipelines.evaluation.results import Results
from pipelines.report.contenders import contenders, reference_values
from tests.pipelines.report.runs import LIST_K, K, make_config


def _result(ndcg: list[float], recall: list[float] | None = None) -> Results:
    metrics = {f"ndcg@{LIST_K}": np.array(ndcg)}
    if recall is not None:
        metrics[f"recall@{K}"] = np.array(recall)
    items = np.array([[0, 1, 2, 3, 4], [0, 5, 2, 3, 4]])
    return Results(items, metrics)


@pytest.fixture
def table(tmp_path):
    baselines = {"popularity": _result([0.2, 0.4], [0.1, 0.1]), "ALS": _result([0.1, 0.3], [0.2, 0.4])}
    ours = {"final list": _result([0.5, 0.5])}
    eligible = np.array([True] * 6 + [False] * 2)
    return contenders(make_config(tmp_path), baselines, ours, eligible)


def test_best_baseline_is_chosen_by_metric(table) -> None:
    assert table.best_baseline == {"ndcg@2": "popularity", "recall@5": "ALS"}


def test_differences_are_paired_and_to_the_best_baseline(table) -> None:
    rows = {row.name: row for row in table.rows}
    difference = rows["final list"].measures["ndcg@2"].difference
    # 0.5 - 0.2 = 0.3 and 0.5 - 0.4 = 0.1: mean 0.2, and resamples lie between the two.
    assert difference.mean == pytest.approx(0.2)
    assert (difference.low, difference.high) == (pytest.approx(0.1), pytest.approx(0.3))
    # Every request is 0.1 below: pairing leaves no width, though the values themselves vary.
    als = rows["ALS"].measures["ndcg@2"].difference
    assert (als.mean, als.low, als.high) == (pytest.approx(-0.1),) * 3
    assert rows["popularity"].measures["ndcg@2"].difference is None
    assert "recall@5" not in rows["final list"].measures


def test_catalogue_metrics_count_eligible_items_in_the_list(table) -> None:
    row = next(row for row in table.rows if row.name == "final list")
    # Lists of 2 show items 0, 1 and 0, 5: three of six. Exposure 0 0 0 1 1 2 by size:
    # Gini = (-5 x 0 - 3 x 0 - 1 x 0 + 1 x 1 + 3 x 1 + 5 x 2) / (6 x 4) = 14 / 24.
    assert row.coverage == pytest.approx(3 / 6)
    assert row.gini == pytest.approx(14 / 24)


def test_references_belong_to_one_protocol(tmp_path) -> None:
    assert reference_values(make_config(tmp_path, name="movielens-1m")) == {}  # the name alone says nothing
    file, data = Path("configs/movielens-1m.toml"), [f"data.path={tmp_path}"]
    assert reference_values(load(file, data))["EASE"] == {"ndcg@10": 0.269, "recall@100": 0.262}
    for change in ("split.test=0.95", "data.min_item_events=0", "split.requests=rolling", "gate.list_k=5"):
        assert reference_values(load(file, [*data, change])) == {}

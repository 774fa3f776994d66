"""The publisher's own files through the stages: published reference values, and a whole run of the small set."""

import re
from pathlib import Path

import pytest

from pipelines.baselines.record import load_tuning
from pipelines.evaluation.results import load_results
from tests.runs import settings, twinspire

pytestmark = [pytest.mark.data, pytest.mark.slow]
CONFIGS = Path(__file__).parents[1] / "configs"


def test_baselines_of_movielens_1m_land_on_the_reference_values(shared_data: Path, tmp_path: Path):
    skipped = settings(
        f"data.path={shared_data / 'ml-1m'}", "baselines.trials=1", "baselines.bpr=false", "baselines.lightfm=false"
    )
    twinspire("baselines", CONFIGS / "movielens-1m.toml", *skipped, cwd=tmp_path, check=True)
    (run,) = (tmp_path / "runs").glob("movielens-1m-*")
    results = load_results(run / "baselines" / "results.npz")
    assert len(results["popularity"].items) == 1180
    for name, ndcg, recall in (
        ("popularity", 0.254, 0.229),
        ("popularity 7d", 0.281, 0.231),
        ("popularity 30d", 0.274, 0.249),
        ("item-kNN", 0.259, 0.211),
        ("EASE", 0.269, 0.262),
        ("EASE + popularity", 0.282, 0.283),  # above both of its parts
        ("ALS", 0.247, 0.242),
    ):
        assert results[name].mean("ndcg@10") == pytest.approx(ndcg, abs=0.01)
        assert results[name].mean("recall@100") == pytest.approx(recall, abs=0.01)


def test_movielens_100k_runs_to_a_bundle_that_replays(shared_data: Path, tmp_path: Path):
    quick = settings(
        f"data.path={shared_data / 'ml-100k'}",
        "train.max_epochs=2",
        "train.max_examples=20000",
        "ranker.max_requests=2000",
        "ranker.max_epochs=2",
        "baselines.trials=1",
        "baselines.als=false",
        "baselines.bpr=false",
        "baselines.ratings=false",
        "index.core_ops=false",
    )
    called = twinspire("run", CONFIGS / "movielens-100k.toml", *quick, cwd=tmp_path)
    assert called.code in (0, 3), called.err  # two epochs may well lose to popularity, and the gate then says so
    assert "100.00% of ids agree in Python, 100.00% through the C loader" in called.err
    assert re.search(r"lift over popularity\b", called.err)
    (run,) = (tmp_path / "runs").glob("movielens-100k-*")
    assert "popularity 7d" in load_results(run / "baselines" / "results.npz")
    assert "towers" in load_results(run / "gate" / "results.npz")


def test_the_best_predictor_of_ratings_is_no_good_list(shared_data: Path, tmp_path: Path):
    few = settings(f"data.path={shared_data / 'ml-100k'}", "baselines.trials=1", "baselines.als=false")
    twinspire("baselines", CONFIGS / "movielens-100k.toml", *few, cwd=tmp_path, check=True)
    (run,) = (tmp_path / "runs").glob("movielens-100k-*")
    mean, *models = load_tuning(run / "baselines").ratings
    best = min(models, key=lambda row: row.rmse or 9)
    assert best.pairs > 2000
    assert best.rmse < 0.96 < 1.1 < mean.rmse
    assert best.ndcg < load_results(run / "baselines" / "results.npz")["popularity 30d"].mean("ndcg@10") / 2

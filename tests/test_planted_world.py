"""The simulated world has a right answer: towers must beat popularity on it, and the truth must beat the towers."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from pipelines.dataset import load_dataset
from pipelines.evaluation.metrics import per_request
from pipelines.evaluation.ranking import rank
from pipelines.evaluation.results import load_results
from pipelines.simulate import build_world
from pipelines.sources.simulated import world_size
from pipelines.stage import config_of
from pipelines.verdicts import load_verdicts
from tests.conftest import Demo
from tests.runs import CRIPPLED, SMALL, settings, twinspire

pytestmark = pytest.mark.slow


def _oracle_recall(run: Path, k: int) -> np.ndarray:
    """Recall of ranking by the true preferences at the cut, for the requests the run was judged on."""
    config = config_of(run)
    dataset = load_dataset(config, run / "prepare")
    world = build_world(world_size(config))
    user_of = {user: row for row, user in enumerate(world.users["user_id"])}
    item_of = {item: row for row, item in enumerate(world.items["item_id"])}
    users = dataset.tables.queries["query"].map(user_of).to_numpy()
    items = dataset.tables.items["item"].map(item_of).to_numpy()

    def score(requests):
        device = requests.context["device"].astype(str)
        return world.true_scores(users[requests.query], dataset.cuts.test.moment, device)[:, items]

    requests = dataset.test_requests
    found = rank(score, requests, k, dataset.eligible(dataset.cuts.test))
    return per_request(found, requests.targets, k)["recall"]


def test_towers_beat_popularity_and_the_truth_beats_the_towers(demo: Demo):
    towers = load_results(demo.run / "gate" / "results.npz")["towers"].mean("recall@100")
    baselines = load_results(demo.run / "baselines" / "results.npz")
    popularity = max(result.mean("recall@100") for name, result in baselines.items() if name.startswith("popularity"))
    truth = _oracle_recall(demo.run, 100).mean()
    assert popularity * 1.05 < towers < truth


def test_the_gate_passes_and_the_bundle_is_published(demo: Demo):
    verdicts = load_verdicts(demo.run / "gate" / "verdicts.json") + load_verdicts(demo.run / "rank" / "verdicts.json")
    assert [verdict for verdict in verdicts if verdict.status == "fail"] == []
    assert (demo.bundle / "manifest.json").is_file()


def test_a_crippled_tower_fails_the_gate_and_publishes_nothing(demo: Demo, tmp_path: Path):
    shutil.copytree(demo.home / "runs", tmp_path / "runs", symlinks=True)  # the baselines need not run again
    called = twinspire("demo", *settings(*SMALL, *CRIPPLED), cwd=tmp_path)
    assert called.code == 3
    assert "nothing was published: candidates gate, all: recall@100 lift over popularity" in called.err
    (run,) = {path.parent for path in (tmp_path / "runs").glob("demo-*/export")} - {tmp_path / "runs" / demo.run.name}
    assert not (run / "export" / "bundle-core").exists()  # switched off
    assert (run / "export" / "bundle").is_dir()
    assert "Traceback" not in called.err
    assert not list((tmp_path / "bundles").rglob("manifest.json"))
    assert "publish --policy popularity" in called.out or "--policy popularity" in called.out


def test_popularity_can_be_published_instead(demo: Demo, tmp_path: Path):
    called = twinspire("publish", demo.run, "--policy", "popularity", cwd=demo.home, check=True)
    assert "bundle:" in called.out
    version = Path(called.out.split("bundle:")[1].split()[0])
    answer = twinspire("recommend", demo.home / version, "--user", "nobody", cwd=demo.home, check=True)
    assert answer.out.count("from popularity") == 10
    shutil.rmtree(demo.home / version)

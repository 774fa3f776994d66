"""Every protocol from tables to verdicts, and lists that may repeat from tables to the served graph."""

import json

import numpy as np
import pytest

from configs.load import load
from pipelines.dataset import load_dataset
from pipelines.evaluation.results import load_results
from pipelines.progress import Progress
from pipelines.run import open_run, run_until
from pipelines.stage import config_of
from tests.leaky_worlds import K, write
from tests.odd_data import write_sessions
from tests.runs import settings, twinspire
from tests.test_own_data import QUICK

pytestmark = pytest.mark.slow

PROTOCOLS = {
    "leave last out": ('split.protocol="leave_last_out"',),
    "random": ('split.protocol="random"', "split.validation=0.6", "split.ranker=0.7", "split.test=0.8"),
    "next item, rolling": ('split.history="rolling"', 'split.targets="next"'),
    "last item": ('split.targets="last"',),
    "a horizon": ('split.horizon="3d"',),
}
TARGETS = {"leave last out": {1}, "next item, rolling": {1}, "last item": {1}}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_runs_up_to_the_gate(name, tmp_path):
    (tmp_path / "world.toml").write_text(write(tmp_path, "plain"))
    dates = (
        () if "horizon" in name or "item" in name else ("split.validation=0.8", "split.ranker=0.85", "split.test=0.9")
    )
    config = load(tmp_path / "world.toml", [*dates, *PROTOCOLS[name], "train.max_epochs=8"])
    work = open_run(config, tmp_path / "runs")
    run_until(work, "baselines", Progress(quiet=True))
    gate = load_results(run_until(work, "gate", Progress(quiet=True)) / "results.npz")
    dataset = load_dataset(config, work.results["prepare"])
    requests = dataset.test_requests
    assert set(requests.targets.lengths.tolist()) <= TARGETS.get(name, set(range(1, 30)))
    baselines = load_results(work.results["baselines"] / "results.npz")
    popularity = max(result.mean(f"recall@{K}") for name, result in baselines.items() if name.startswith("popularity"))
    assert gate["towers"].mean(f"recall@{K}") > 1.3 * popularity  # groups can be learned under any of them
    seen = [np.isin(gate["towers"].items[row], requests.history[row]).any() for row in range(len(requests))]
    assert not any(seen)


def test_what_was_taken_can_be_recommended_again_and_is_served_so(tmp_path):
    (tmp_path / "odd.toml").write_text(write_sessions(tmp_path))
    called = twinspire(
        "run", tmp_path / "odd.toml", *settings(*QUICK, "data.seen_items=keep"), cwd=tmp_path, check=True
    )
    assert "10 recommendations" in called.out
    (run,) = (path for path in (tmp_path / "runs").iterdir() if path.name.startswith("odd-"))
    replay = json.loads((run / "export" / "replay.json").read_text())
    assert min(replay["python"], replay["c_loader"], replay["candidates"]) >= 0.995
    dataset = load_dataset(config_of(run), run / "prepare")
    shown, requests = load_results(run / "rank" / "results.npz")["final list"].items, dataset.test_requests
    again = [np.isin(shown[row], requests.history[row]).any() for row in range(len(requests))]
    assert np.mean(again) > 0.1  # sessions take the same things again
    assert requests.targets.lengths.max() > 1


def test_an_unknown_protocol_is_refused_by_name(tmp_path):
    (tmp_path / "world.toml").write_text(write(tmp_path, "plain"))
    called = twinspire("prepare", tmp_path / "world.toml", *settings('split.protocol="temporal"'), cwd=tmp_path)
    assert called.code == 2
    assert "split.protocol" in called.err
    assert "global_time" in called.err

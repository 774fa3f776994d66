"""Tables unlike the built-in ones, from files to answers, without a line of Python about them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.evaluation.results import load_results
from tests.odd_data import item_ids, write_ordered, write_sessions
from tests.runs import settings, twinspire

pytestmark = pytest.mark.slow

QUICK = (
    "train.max_epochs=6",
    "train.batch=128",
    "towers.embedding_dim=16",
    "towers.history.length=10",
    "ranker.max_epochs=2",
    "ranker.max_requests=500",
    "baselines.als=false",
    "baselines.trials=1",
    "baselines.bpr=false",
    "gate.floors.lift=-0.5",  # a few hundred requests prove little; what matters here is that all of it works
    "gate.floors.list_lift=-0.9",
    "gate.floors.slice_lift=-0.9",
    "gate.floors.min_users=20",
    "gate.k=20",
    "index.candidates=60",
)


# Few and short histories: a transformer learns slowly from those, and the test is not about how well.
PLAIN = (
    'towers.history.encoder="mean"',
    "train.max_epochs=30",
    "train.patience=8",
    "train.batch=64",
    "train.learning_rate=0.003",
    "data.segment=plan",  # half of the users have no plan
)


def _run(home: Path, write: Callable[[Path], str], *overrides: str) -> tuple[Path, Path]:
    config = home / "odd.toml"
    config.write_text(write(home))
    twinspire("run", config, *settings(*QUICK, *overrides), cwd=home, check=True)
    (run,) = (path for path in (home / "runs").iterdir() if path.name.startswith("odd-"))
    (bundle,) = (home / "bundles").glob("*/1")
    return run, bundle


def _listed(called_out: str) -> str:
    return called_out.split("recommendations", 1)[1]


def test_sessions_with_odd_ids_and_every_kind_of_feature(tmp_path: Path):
    run, bundle = _run(tmp_path, write_sessions)
    baselines = load_results(run / "baselines" / "results.npz")
    towers = load_results(run / "gate" / "results.npz")["towers"]
    popularity = max(baselines[name].mean("recall@20") for name in baselines if name.startswith("popularity"))
    assert towers.mean("recall@20") > 1.3 * popularity  # sessions keep to one block of four
    assert json.loads((run / "export" / "replay.json").read_text())["c_loader"] >= 0.995

    from serving.bundle import load_bundle

    opened = load_bundle(bundle)
    block = [item_ids()[number] for number in (2, 6, 10, 14)]
    found = opened.recommend(None, 10, history=block, context={"channel": "kiosk", "load": 1.5})
    inside = sum(item_ids().index(one.item) % 4 == 2 for one in found)
    assert inside >= 7
    assert not {one.item for one in found} & set(block)


def test_an_order_without_a_clock(tmp_path: Path):
    run, bundle = _run(tmp_path, write_ordered, *PLAIN)
    towers = load_results(run / "gate" / "results.npz")["towers"]
    baselines = load_results(run / "baselines" / "results.npz")
    assert "popularity 400" in baselines
    popularity = max(baselines[name].mean("recall@20") for name in baselines if name.startswith("popularity"))
    assert towers.mean("recall@20") > 1.5 * popularity
    answer = twinspire("recommend", bundle, "--user", "user 1", "--context", "page=home", check=True)
    assert "10 recommendations for user 1" in answer.out
    called = twinspire("publish", run, "--policy", "popularity", cwd=tmp_path, check=True)
    popular = tmp_path / called.out.split("bundle:")[1].split()[0]
    assert popular.name == "2"
    for user in ("user 0", "user 1", "nobody"):
        answer = twinspire("recommend", popular, "--user", user, "--context", "page=home", check=True)
        assert answer.out.count("from popularity") == 10


def test_clock_features_are_refused_without_a_clock(tmp_path: Path):
    config = tmp_path / "odd.toml"
    text = write_ordered(tmp_path)
    config.write_text(text + '\n[[features]]\nname = "moment"\ntable = "events"\nkind = "time"\n')
    called = twinspire("prepare", config, cwd=tmp_path)
    assert called.code == 2
    assert "'moment' needs a clock, and data.events.order has none" in called.err

"""Two exports of one model: searched by ScaNN, and with core operations alone. Both answer, and alike."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from configs.load import parse
from configs.stages import Index
from pipelines.baselines.popularity import Popularity
from pipelines.export import write_bundles
from pipelines.index.core import core_kind, load_core, save_core
from pipelines.index.item_index import ItemIndex, load_index, save_index
from pipelines.index.record import load_core_tuning, save_index_tuning
from pipelines.index.tuning import Goal, tune
from pipelines.progress import Progress
from pipelines.publish import BUNDLE, CORE
from pipelines.rank import new_ranker
from pipelines.replay import raw_inputs
from pipelines.served import Parts
from pipelines.train import new_towers
from pipelines.vectors import Vectors
from pipelines.verdicts import CORE_RECALL, save_verdicts
from serving.bundle import load_bundle
from serving.golden import check_golden
from serving.manifest import verify
from serving.searchers import EXACT_BELOW
from tests import world
from tests.conftest import Demo
from tests.runs import twinspire

pytestmark = pytest.mark.slow

K = 20
LOAD = """
import json, sys
from pathlib import Path
from serving.runtime import RuntimeFailure, Session
folder = Path(sys.argv[1])
try:
    Session(folder, json.loads((folder / "manifest.json").read_text())["signatures"])
    print("loaded")
except RuntimeFailure as failure:
    print(failure)
"""


@pytest.fixture(scope="module")
def data():
    return world.dataset(world.config({"index.searcher": "scann"}), world.log())


@pytest.fixture(scope="module")
def exports(data, tmp_path_factory) -> Path:
    """Both bundles of untrained towers over 150 items, the second one behind `ivf`."""
    out, encoded = tmp_path_factory.mktemp("exports"), world.encoded(data)
    inputs = {name: out / name for name in ("gate", "rank", "index")}
    for folder in inputs.values():
        folder.mkdir()
    vectors = Vectors(data.config, new_towers(data, encoded), encoded, data.trend_at(data.cuts.test))
    queries = vectors.of(data.validation_requests)
    for kind in ("scann", "ivf"):
        searcher, tuning = tune(kind, vectors.items, queries, Goal(K, 0.9), 1, lambda: None)
        if kind == "scann":
            save_index(ItemIndex(searcher, np.arange(data.n_items), vectors.static, vectors.trend), inputs["index"])
            save_index_tuning(tuning, inputs["index"])
        else:
            save_core(searcher, tuning, inputs["index"])
    for name in ("gate", "rank"):
        save_verdicts([], inputs[name] / "verdicts.json")
    index = load_index(inputs["index"])
    parts = Parts(vectors, new_ranker(data, encoded), index, Popularity(), load_core(index, inputs["index"]))
    write_bundles(data, inputs, parts, [], out, Progress(quiet=True))
    return out


def _ops(folder: Path) -> set[str]:
    """Every operation of a graph, those of its functions too."""
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    graph = model.meta_graphs[0].graph_def
    bodies = (function.node_def for function in graph.library.function)
    return {node.op for nodes in (graph.node, *bodies) for node in nodes}


def _without_libraries(folder: Path) -> str:
    """What the C loader says of an export in a process that has no operations but TensorFlow's own."""
    done = subprocess.run([sys.executable, "-c", LOAD, str(folder)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_second_export_needs_core_operations_alone_and_the_first_its_library(exports):
    scann, core = exports / BUNDLE, exports / CORE
    assert any(op.startswith("Scann") for op in _ops(scann))
    assert not any(op.startswith("Scann") for op in _ops(core))
    assert _without_libraries(core) == "loaded"
    assert _without_libraries(scann).startswith("NOT_FOUND: Op type not registered 'Scann>")


def test_manifests_name_the_values_of_a_requests_categories(data, exports):
    for name in (BUNDLE, CORE):
        said = verify(exports / name)["values"]
        assert {*said} == {"region", "device"}
        assert said["region"] == sorted({*map(str, data.tables.queries["region"])} - {""})
        assert said["device"] == sorted(said["device"])
        assert {*said["device"]} <= {*map(str, data.log.context["device"])}
        assert said["device"]


def test_both_exports_answer_alike_through_the_c_loader(data, exports):
    inputs = raw_inputs(data, data.test_requests, K)
    first, second = (load_bundle(exports / name) for name in (BUNDLE, CORE))
    one, other = (bundle.run("retrieve", inputs)["items"] for bundle in (first, second))
    shared = np.mean([np.isin(row, found).mean() for row, found in zip(one, other, strict=True)])
    tuned = [bundle.manifest["tuned"]["recall"] for bundle in (first, second)]
    assert min(tuned) >= 0.9
    assert shared >= sum(tuned) - 1.05  # lists that miss little have most in common
    for bundle in (first, second):
        check_golden(bundle)


def test_the_second_export_is_replayed_against_its_own_lists(exports):
    replayed = json.loads((exports / "replay-core.json").read_text())
    assert replayed["c_loader"] >= 0.995
    assert replayed["candidates"] >= 0.995
    assert replayed["shared"] >= 0.8
    manifest = verify(exports / CORE)
    assert [(v["gate"], v["metric"], v["status"]) for v in manifest["verdicts"]] == [
        ("replay", "ids that agree through the C loader, core operations", "pass"),
        ("replay", "ids that agree candidates, C loader, core operations", "pass"),
        ("candidates", CORE_RECALL, "pass"),
    ]
    assert manifest["publishable"]


def test_the_manifests_say_which_belong_together_and_what_was_tuned(exports):
    first, second = verify(exports / BUNDLE), verify(exports / CORE)
    assert (first["searcher"], first["core_export"]) == ("scann", "world-core")
    assert (second["searcher"], second["name"]) == ("ivf", "world-core")
    assert second["core_of"] == {"name": "world", "id": first["id"]}
    tuning = load_core_tuning(exports / "index")
    chosen = tuning.trials[tuning.chosen]
    assert second["tuned"]["recall"] == tuning.held_out.mean
    assert second["tuned"]["microseconds"] == chosen.microseconds
    assert parse(second["config"]).name == "world"


@pytest.mark.parametrize(
    ("kind", "size", "core_ops", "expected"),
    [
        ("scann", EXACT_BELOW - 1, True, "exact"),
        ("scann", EXACT_BELOW, True, "ivf"),
        ("scann", EXACT_BELOW, False, None),
        ("ivf", EXACT_BELOW, True, None),
        ("exact", 10, True, None),
    ],
)
def test_a_second_export_is_made_behind_scann_alone_and_unless_it_is_switched_off(kind, size, core_ops, expected):
    assert core_kind(Index(core_ops=core_ops), kind, size) == expected


def test_a_run_publishes_both_and_says_where(demo: Demo):
    core = demo.bundle.parents[1] / "demo-core" / "1"
    assert "second export: bundles/demo-core/1  (core operations alone" in " ".join(demo.called.out.split("\n"))
    assert (verify(demo.bundle)["searcher"], verify(core)["searcher"]) == ("scann", "exact")
    assert _without_libraries(demo.bundle).startswith("NOT_FOUND: Op type not registered 'Scann>")
    assert _without_libraries(core) == "loaded"
    assert not any(op.startswith("Scann") for op in _ops(core))
    users = [f"u{number:06}" for number in (1, 2, 3, 5, 8)]
    opened = [load_bundle(folder) for folder in (demo.bundle, core)]
    lists = [[[one.item for one in bundle.recommend(user)] for user in users] for bundle in opened]
    assert np.mean([len({*one} & {*other}) / 10 for one, other in zip(*lists, strict=True)]) >= 0.9
    replayed = json.loads((demo.run / "export" / "replay-core.json").read_text())
    assert replayed["c_loader"] >= 0.995
    assert replayed["shared"] >= 0.97  # of what ScaNN finds, every item is scored here
    answer = twinspire("recommend", core, "--user", users[0], cwd=demo.home, check=True)
    assert f"10 recommendations for {users[0]}" in answer.out

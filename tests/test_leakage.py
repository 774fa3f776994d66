"""No future leaks in, and the suite would see it if it did: planted futures, permuted worlds, and equal fits.

Bounds are wide enough for a hundred comparisons on some 250 requests, and far from what a leak gives: the control
under a random split is many times above chance.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from configs.load import load
from pipelines.dataset import Dataset, load_dataset
from pipelines.evaluation.bootstrap import interval, paired_interval
from pipelines.evaluation.metrics import per_request
from pipelines.evaluation.results import Results, load_results
from pipelines.index.item_index import load_index
from pipelines.progress import Progress
from pipelines.run import open_run, run_until
from pipelines.stage import Run
from pipelines.tables import Candidates, Ragged
from pipelines.train import REFITTED, load_towers
from pipelines.trend_counts import trends_of
from tests.leaky_worlds import CUT, ITEMS, WORLDS, K, write
from towers.backend import tf

pytestmark = pytest.mark.slow

LEVEL = 0.9995  # of intervals: twenty contenders in a few worlds are looked at
METRIC = f"recall@{K}"


class Judged:
    """A world that has run up to the gate."""

    def __init__(self, folder: Path, world: str, *overrides: str, until: str = "gate") -> None:
        folder.mkdir()
        (folder / "leaks.toml").write_text(write(folder, world))
        config = load(folder / "leaks.toml", list(overrides))
        self.work: Run = open_run(config, folder / "runs")
        for stage in ("baselines", until):
            run_until(self.work, stage, Progress(quiet=True))
        self.dataset: Dataset = load_dataset(config, self.work.results["prepare"])
        self.contenders: dict[str, Results] = {}
        for stage in {"baselines", until}:
            self.contenders |= load_results(self.work.results[stage] / "results.npz")

    def chance(self) -> np.ndarray:
        """Expected recall of a list drawn at random from what each request may be shown, [R]."""
        open_items = self.dataset.n_items - np.array([len(set(history)) for history in self._histories()])
        return K / open_items

    def _histories(self) -> list[list[int]]:
        history = self.dataset.test_requests.history
        return [history[row].tolist() for row in range(len(history))]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Judged]:
    home = tmp_path_factory.mktemp("leaks")
    return {world: Judged(home / world.replace(" ", "-"), world) for world in WORLDS}


def test_the_plain_world_can_be_learned(judged):
    world = judged["plain"]
    popularity = _best(world, lambda name: name.startswith("popularity"))
    for name in ("towers", "item-kNN"):
        gain = paired_interval(world.contenders[name].metrics[METRIC], popularity.metrics[METRIC])
        assert gain.low > 0.15, name


def test_what_only_the_future_knows_raises_no_metric(judged):
    world = judged["new future"]
    assert len(world.contenders) >= 8
    for name, result in world.contenders.items():
        above = interval(result.metrics[METRIC] - world.chance(), level=LEVEL)
        assert above.low <= 0, f"{name} knows {above} more than chance"
        assert above.mean < 0.04, f"{name} knows {above} more than chance"


def test_the_same_future_shows_where_the_split_leaks(tmp_path):
    leaking = ('split.protocol="random"', "split.validation=0.5", "split.ranker=0.6", "split.test=0.7")
    world = Judged(tmp_path / "random", "new future", *leaking, until="baselines")
    log, asked = world.dataset.log, world.dataset.test_requests
    pair = asked.query[asked.targets.rows].astype(np.int64) * ITEMS + asked.targets.values
    late = np.isin(pair, (log.query.astype(np.int64) * ITEMS + log.item)[log.time >= CUT])
    targets = Ragged.from_rows(asked.targets.rows[late], asked.targets.values[late], len(asked))
    asks = targets.lengths > 0
    shown = world.contenders["popularity 7d"].items
    recall = per_request(Candidates(shown, np.zeros(shown.shape, np.float32), "popularity"), targets, K)["recall"]
    known = interval((recall - world.chance())[asks], level=LEVEL)
    assert known.low > 0.02, f"popularity knows only {known} more than chance of what came after the cut"


def test_items_permuted_across_users_leave_popularity_alone(judged):
    world = judged["permuted items"]
    popularity = _best(world, lambda name: name == "popularity")
    for name, result in world.contenders.items():
        gain = paired_interval(result.metrics[METRIC], popularity.metrics[METRIC], level=LEVEL)
        assert gain.low <= 0, f"{name} finds {gain} beyond popularity where nothing else is left"
        assert gain.mean < 0.04, f"{name} finds {gain} beyond popularity where nothing else is left"


def test_target_ids_permuted_leave_chance_alone(judged):
    world = judged["plain"]
    targets = world.dataset.test_requests.targets
    renamed = np.random.default_rng(0).permutation(world.dataset.n_items)[targets.values]
    for name, result in world.contenders.items():
        shown = Candidates(result.items, np.zeros(result.items.shape, np.float32), name)
        recall = per_request(shown, Ragged(targets.starts, renamed), K)["recall"]
        expected = (result.items[:, :K] >= 0).sum(axis=1) / world.dataset.n_items  # renamed ones may be seen items
        off = interval(recall - expected, level=LEVEL)
        assert off.low <= 0 <= off.high, f"{name} is {off} off chance"


@pytest.mark.parametrize("stage", ["baselines", "train", "index"])
def test_another_future_changes_nothing_that_was_fitted(judged, stage):
    """Every array and choice is equal to the last bit; only what is measured on the test window may differ."""
    one, other = (judged[world].work.results[stage] for world in ("plain", "shuffled future"))
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    compared = [path for path in files if path.name not in _MEASURED and "tensorboard" not in path.parts]
    assert compared
    for path in compared:
        assert _content(one / path) == _content(other / path), f"{stage}/{path} depends on the future"


def test_vectors_and_trends_at_the_cut_are_those_of_another_future(judged):
    """What is searched and what searches, of the refitted towers: made anew in both worlds, not read from files."""
    worlds = [judged[name] for name in ("plain", "shuffled future")]
    common = np.intersect1d(*(world.dataset.test_requests.query for world in worlds))  # who finds nothing new asks not
    assert len(common) > 100
    found, targets = [], []
    for world in worlds:
        dataset, requests, cut = world.dataset, world.dataset.test_requests, world.dataset.cuts.test
        asked = requests.take(np.flatnonzero(np.isin(requests.query, common)))
        vectors = load_towers(dataset, world.work.results["train"], REFITTED, cut)
        index = load_index(world.work.results["index"])
        assert np.array_equal(vectors.static, index.static)  # as the index holds them
        assert np.array_equal(vectors.trend, index.trend)
        past = trends_of(dataset.trend, dataset.past(cut), dataset.available, beforehand=True).of(None)
        found.append((vectors.of(asked), vectors.items, dataset.trend_at(cut), past))
        targets.append(asked.targets.values)
    for one, other in zip(*found, strict=True):
        assert np.array_equal(one, other)
    assert not np.array_equal(*targets)


_MEASURED = {"results.npz", "made-from.json", "weights.data-00000-of-00001"}


def _content(path: Path) -> object:
    if path.name == "weights.index":  # the files themselves also hold a graph of objects, in no fixed order
        saved = tf.train.load_checkpoint(str(path.with_suffix("")))
        return {name: saved.get_tensor(name).tolist() for name in saved.get_variable_to_shape_map() if "/" in name}
    if path.suffix == ".npz":
        with np.load(path) as saved:
            return {name: (saved[name].dtype.str, saved[name].tolist()) for name in saved.files}
    if path.suffix == ".json":
        return _timeless(json.loads(path.read_text()))
    return path.read_bytes()


def _timeless(value: object) -> object:
    if isinstance(value, dict):
        return {key: _timeless(part) for key, part in value.items() if "second" not in key}
    return [_timeless(part) for part in value] if isinstance(value, list) else value


def _best(world: Judged, chosen) -> Results:
    names = [name for name in world.contenders if chosen(name)]
    return world.contenders[max(names, key=lambda name: world.contenders[name].mean(METRIC))]

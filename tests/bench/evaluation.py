"""`make bench-evaluation`: exact hit rates over a whole catalogue, against FactorizedTopK of TFRS on the same work.

10,000 queries, 100,000 items, 128 dimensions, one true item for each query, hit rates at 1 to 100. True items are
planted so that about a fifth are among the first 100. FactorizedTopK takes as long whatever is hit. Where only hits are
counted ours takes longer the more there are, so one row has them all at the top; lists take as long whatever is hit.

Unless it is told the ids of the true items, FactorizedTopK compares a true item's score with those of the best items,
itself among them, and a last digit rounded otherwise makes it lose to itself. So hits are compared by ids, once; the
runs that are timed go by scores, which is its default and the quicker.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from pipelines.evaluation.metrics import at_depths
from pipelines.evaluation.ranking import DotProduct, rank, rank_targets
from pipelines.tables import Candidates, Ragged, Requests
from tests.bench.harness import Row, bench
from towers.backend import tf

# isort: split
import tensorflow_recommenders as tfrs  # after the backend, which picks the Keras that it needs

QUERIES, ITEMS, DIMENSIONS = 10_000, 100_000, 128
KS = (1, 5, 10, 50, 100)
REPEATS = 5
PLANTED = 0.2  # weight of the true item in its query
Rates = dict[int, float]
Search = Callable[..., Candidates]  # rank or rank_targets
Layers = tfrs.layers.factorized_top_k


@dataclass(frozen=True)
class World:
    """queries [R, d], items [N, d], and target [R], the row of each query's true item."""

    queries: np.ndarray
    items: np.ndarray
    target: np.ndarray

    @classmethod
    def draw(cls, rows: int = QUERIES, planted: float = PLANTED, clusters: int = 0) -> World:
        """Normal vectors; items around `clusters` centres if there are any, and queries near some item."""
        rng = np.random.default_rng(0)
        items = rng.standard_normal((ITEMS, DIMENSIONS), np.float32)
        if clusters:
            centres = rng.standard_normal((clusters, DIMENSIONS), np.float32)
            items = np.float32(0.5) * items + centres[np.arange(ITEMS) % clusters]
        target = rng.integers(0, ITEMS, rows).astype(np.int32)
        noise = rng.standard_normal((rows, DIMENSIONS), np.float32)
        return cls(np.float32(planted) * items[target] + noise, items, target)


@dataclass(frozen=True)
class Setting:
    """A way to use FactorizedTopK: how it gets its candidates, and how many queries at a time."""

    words: str
    candidates: Callable[[np.ndarray], tf.keras.layers.Layer | tf.data.Dataset]
    queries: int


def measure() -> list[Row]:
    """FactorizedTopK at its default and, twice, at every setting; then the best three of them and ours, by turns."""
    world, all_hit, clustered = World.draw(), World.draw(planted=1.0), World.draw(clusters=200)
    default, by_scores = peer(DEFAULT, world)
    tried = sorted(settings(), key=lambda setting: min(_seconds(setting, world) for _ in range(2)))
    rates, in_lists = (ours(world, search) for search in (rank_targets, rank))
    runs: dict[str, Callable[[], float]] = {
        "counted": lambda: _clock(lambda: ours(world, rank_targets)),
        "all hit": lambda: _clock(lambda: ours(all_hit, rank_targets)),
        "listed": lambda: _clock(lambda: ours(world, rank)),
        "clustered": lambda: _clock(lambda: ours(clustered, rank)),
        **{setting.words: partial(_seconds, setting, world) for setting in tried[:3]},
    }
    times = _by_turns(runs)
    best = min((setting.words for setting in tried[:3]), key=lambda words: times[words])
    apart = max(_apart(rates, other) for other in (in_lists, _by_ids(world)))
    small, large = (_peak(rows) for rows in (QUERIES, 8 * QUERIES))
    shown = ", ".join(f"{rate:.4f} at {k}" for k, rate in rates.items())
    return [
        Row("hits counted", times["counted"], "s", shown),
        Row("hits counted, every true item at the top", times["all hit"], "s"),
        Row("lists of 100 and their hits", times["listed"], "s"),
        Row("lists of 100 and their hits, items in clusters", times["clustered"], "s"),
        Row("FactorizedTopK default", default, "s", f"{DEFAULT.words}; one run"),
        Row("FactorizedTopK best", times[best], "s", f"{best}; of {len(tried)} settings"),
        _ratio("FactorizedTopK default ratio", default / times["counted"], 40),
        _ratio("FactorizedTopK best ratio", times[best] / times["counted"], 4),
        Row("FactorizedTopK best ratio, every true item at the top", times[best] / times["all hit"], "times"),
        Row("FactorizedTopK default ratio, lists", default / times["listed"], "times"),
        Row("FactorizedTopK best ratio, lists", times[best] / times["listed"], "times"),
        Row("hits that differ at any k, by ids", apart, "hits", f"of {QUERIES:,}", "at most 2", apart <= 2),
        Row("hits that differ at any k, by scores", _apart(rates, by_scores), "hits", f"of {QUERIES:,}"),
        Row("memory for lists", small, "MB", f"beside vectors; all scores: {4e-6 * QUERIES * ITEMS:,.0f} MB"),
        Row(
            "memory for lists, 8 times the queries", large, "MB", "", "at most half as much again", large < 1.5 * small
        ),
    ]


def ours(world: World, search: Search) -> Rates:
    """Hit rates by `rank` or `rank_targets`, as the stages compute them."""
    found, targets = _search(world, search)
    metrics = at_depths(found, targets, KS)
    return {k: float(metrics[f"hit_rate@{k}"].mean()) for k in KS}


def _search(world: World, search: Search) -> tuple[Candidates, Ragged]:
    rows = len(world.target)
    nothing = Ragged(np.zeros(rows + 1, np.int64), np.zeros(0, np.int32))
    targets = Ragged(np.arange(rows + 1), world.target)
    requests = Requests(np.arange(rows), np.zeros(rows, np.int64), nothing, nothing, targets)
    scorer = DotProduct(lambda part: world.queries[part.query], world.items)
    return search(scorer, requests, max(KS), np.ones(ITEMS, bool), filter_seen=False), targets


def peer(setting: Setting, world: World) -> tuple[float, Rates]:
    """Seconds and hit rates of FactorizedTopK, compiled as in Keras' `evaluate`, traced before the clock runs."""
    metric = tfrs.metrics.FactorizedTopK(setting.candidates(world.items), ks=KS)

    @tf.function(input_signature=[tf.TensorSpec([None, DIMENSIONS])] * 2)
    def update(queries: tf.Tensor, true: tf.Tensor) -> None:
        metric.update_state(queries, true)

    pairs = world.queries, world.items[world.target]
    update(*(tf.constant(vectors[:8]) for vectors in pairs))
    metric.reset_states()
    started = time.perf_counter()
    for batch in tf.data.Dataset.from_tensor_slices(pairs).batch(setting.queries):
        update(*batch)
    rates = [float(rate) for rate in metric.result()]
    return time.perf_counter() - started, dict(zip(KS, rates, strict=True))


def _seconds(setting: Setting, world: World) -> float:
    return peer(setting, world)[0]


def _by_ids(world: World) -> Rates:
    metric = tfrs.metrics.FactorizedTopK(_brute_force(world.items), ks=KS)
    pairs = world.queries, world.items[world.target], world.target
    for queries, true, ids in tf.data.Dataset.from_tensor_slices(pairs).batch(1000):
        metric.update_state(queries, true, true_candidate_ids=ids)
    return dict(zip(KS, map(float, metric.result()), strict=True))


DEFAULT = Setting(
    "128 candidates and 4,096 queries at a time, as in the TFRS tutorials",
    lambda items: tf.data.Dataset.from_tensor_slices(items).batch(128),
    4096,
)


def settings() -> Iterator[Setting]:
    """BruteForce and Streaming at many sizes of batches, Streaming with whatever its options save."""
    for queries in (250, 500, 1000, 2000, 5000, QUERIES):
        yield Setting(f"BruteForce, {queries:,} queries at a time", _brute_force, queries)
    for size in (16384, 50_000, ITEMS):
        for queries in (1000, 2500, QUERIES):
            for parallel in (1, tf.data.AUTOTUNE):
                words = f"Streaming, {size:,} candidates, {queries:,} queries at a time, {parallel} parallel calls"
                yield Setting(words, _streaming(size, parallel), queries)


def _brute_force(items: np.ndarray) -> tf.keras.layers.Layer:
    return Layers.BruteForce(k=max(KS)).index(items)


def _streaming(size: int, parallel: int) -> Callable[[np.ndarray], tf.keras.layers.Layer]:
    def layer(items: np.ndarray) -> tf.keras.layers.Layer:
        options = {"handle_incomplete_batches": False, "num_parallel_calls": parallel, "sorted_order": False}
        batches = tf.data.Dataset.from_tensor_slices(items).batch(size).cache()
        return Layers.Streaming(k=max(KS), **options).index_from_dataset(batches)

    return layer


def _by_turns(runs: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """Median seconds of each; by turns, so that a machine that is busy for a while is so for all."""
    times = [{name: run() for name, run in runs.items()} for _ in range(REPEATS)]
    return {name: statistics.median(one[name] for one in times) for name in runs}


def _clock(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _apart(one: Rates, other: Rates) -> int:
    return max(round(abs(one[k] - other[k]) * QUERIES) for k in KS)


def _ratio(what: str, value: float, goal: int) -> Row:
    return Row(what, value, "times", "hits counted", f"at least {goal}", value >= goal)


def _peak(rows: int) -> float:
    command = [sys.executable, "-c", f"from tests.bench.evaluation import peak; print(peak({rows}))"]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def peak(rows: int) -> float:
    """How far this process grows at most while it ranks, MB, without the lists that come out."""
    world = World.draw(rows)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _status("VmRSS")
    found, _ = _search(world, rank)
    return (_status("VmHWM") - before - (found.items.nbytes + found.scores.nbytes) / 1024) / 1024


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


if __name__ == "__main__":
    bench("evaluation", measure)

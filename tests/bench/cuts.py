"""`make bench-cuts DATA=... SEEDS=3`: the towers' candidates against the strongest baseline on MovieLens 1M, at several
cuts: recall of what retrieval hands on, and NDCG of its first ten, before any ranker.

One cut's standard error is of the size of the differences that matter, so one cut proves little. The strongest baseline
is the one that does best on the test requests themselves, tuned ones included: the hardest rival, even by luck. With
several seeds, towers are fitted anew with each and the baselines once; a request counts with its mean over the seeds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipelines.evaluation.bootstrap import paired_interval
from pipelines.evaluation.compared import strongest
from pipelines.evaluation.results import Results, load_results
from pipelines.gate import gate
from pipelines.progress import Progress
from pipelines.run import STAGES, open_run, run_until
from pipelines.stage import Run
from tests.bench.asked import Asked, spread
from tests.bench.harness import Row, bench

CUTS = (0.90, 0.85, 0.80)


def measure(asked: Asked) -> list[Row]:
    """Run up to the gate at every cut, windows of the same shares before it."""
    return [row for cut in asked.cuts for row in _at(asked, cut)]


def _at(asked: Asked, cut: float) -> Iterator[Row]:
    """Rows of one cut."""
    windows = f"split.test={cut}", f"split.ranker={cut - 0.05:.2f}", f"split.validation={cut - 0.1:.2f}"
    configs = [asked.config("movielens-1m", *windows, seed=seed) for seed in asked.seeds]
    first, *others = (open_run(config) for config in configs)
    run_until(first, "gate", Progress())
    fitted = [load_results(first.folder / "gate" / "results.npz")["towers"], *(_gated(run, first) for run in others)]
    baselines = load_results(first.folder / "baselines" / "results.npz")
    for metric in (f"recall@{configs[0].gate.k}", f"ndcg@{configs[0].gate.list_k}"):
        yield from _compare(f"cut {cut:.2f}", fitted, baselines, metric)


def _gated(run: Run, first: Run) -> Results:
    """The towers of another seed, judged beside the first one's baselines, which are asked the same."""
    inputs = {
        name: first.folder / name if name == "baselines" else run_until(run, name, Progress())
        for name in STAGES["gate"].after
    }
    with tempfile.TemporaryDirectory() as out:
        gate(run.config, inputs, Path(out), Progress())
        return load_results(Path(out) / "results.npz")["towers"]


def _compare(what: str, fitted: list[Results], baselines: dict[str, Results], metric: str) -> Iterator[Row]:
    values = [one.mean(metric) for one in fitted]
    best = strongest(baselines, metric)
    yield Row(f"{what}: towers, {metric}", float(np.mean(values)), "", spread(values))
    yield Row(f"{what}: strongest of {len(baselines)} baselines, {metric}", baselines[best].mean(metric), "", best)
    difference = paired_interval(
        np.mean([one.metrics[metric] for one in fitted], axis=0), baselines[best].metrics[metric]
    )
    yield Row(
        f"{what}: towers - {best}, {metric}",
        difference.mean,
        "",
        f"95 % [{difference.low:+.4f}, {difference.high:+.4f}], n = {difference.n}",
        "lower bound above 0",
        difference.low > 0,
    )


if __name__ == "__main__":
    bench("cuts", lambda: measure(Asked.of("data/ml-1m", CUTS)))

"""`make bench-cuts DATA=...`: the towers' candidates against the best baseline on MovieLens 1M, at several cuts.

One cut's standard error is of the size of the differences that matter, so one cut proves little.
"""

from __future__ import annotations

import sys
from pathlib import Path

from configs.load import load
from pipelines.evaluation.bootstrap import Interval, paired_interval
from pipelines.evaluation.results import load_results
from pipelines.progress import Progress
from pipelines.run import open_run, run_until
from tests.bench.harness import Row, bench

CUTS = (0.80, 0.85, 0.90)


def measure(data: str) -> list[Row]:
    """Run up to the gate at every cut, windows of the same shares before it."""
    rows: list[Row] = []
    for cut in CUTS:
        overrides = [f"data.path={data}", f"split.test={cut}", f"split.ranker={cut - 0.05:.2f}"]
        config = load(Path("configs/movielens-1m.toml"), [*overrides, f"split.validation={cut - 0.1:.2f}"])
        work = open_run(config)
        run_until(work, "gate", Progress())
        rows += _compare(work.folder, cut, f"recall@{config.gate.k}") + _compare(
            work.folder, cut, f"ndcg@{config.gate.list_k}"
        )
    return rows


def _compare(run: Path, cut: float, metric: str) -> list[Row]:
    baselines = load_results(run / "baselines" / "results.npz")
    towers = load_results(run / "gate" / "results.npz")["towers"]
    best = max(baselines, key=lambda name: baselines[name].mean(metric))
    difference = paired_interval(towers.metrics[metric], baselines[best].metrics[metric])
    return [
        Row(f"cut {cut:.2f}: towers, {metric}", towers.mean(metric), "", f"{best} {baselines[best].mean(metric):.4f}"),
        Row(
            f"cut {cut:.2f}: towers - {best}, {metric}",
            difference.mean,
            "",
            f"95 % [{difference.low:+.4f}, {difference.high:+.4f}], n = {difference.n}",
            "lower bound above 0",
            _above(difference),
        ),
    ]


def _above(difference: Interval) -> bool:
    return difference.low > 0


if __name__ == "__main__":
    bench("cuts", lambda: measure(sys.argv[1] if len(sys.argv) > 1 else "data/ml-1m"))

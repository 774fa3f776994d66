"""`make bench`: how long the demo's stages take, and how fast its bundle answers through the C loader."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from configs.load import builtin, load
from pipelines.progress import Progress
from pipelines.run import STAGES, open_run, publish_run
from serving.bundle import Bundle, load_bundle
from tests.bench.harness import Row, bench

CALLS = 300


def measure() -> list[Row]:
    """Run the demo in an empty folder, stage by stage, then ask its bundle."""
    with tempfile.TemporaryDirectory() as folder:
        rows, bundle = _stages(Path(folder))
        return [_help(), *rows, *_answers(load_bundle(bundle))]


def _help() -> Row:
    command = [str(Path(sys.executable).with_name("twinspire")), "--help"]
    subprocess.run(command, check=True, capture_output=True)
    seconds = statistics.median(_timed(command) for _ in range(5))
    return Row("twinspire --help", seconds, "s", goal="under 0.5", ok=seconds < 0.5)


def _timed(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def _stages(folder: Path) -> tuple[list[Row], Path]:
    config = load(builtin("demo"), [f"publish.root={folder / 'bundles'}"])
    progress, rows = Progress(quiet=True), []
    work = open_run(config, folder / "runs")
    for stage in STAGES.values():
        with _clock() as taken:
            work.do(stage, progress)
        rows.append(Row(f"demo: {stage.name}", taken[0], "s"))
    published, reason = publish_run(work, "model", progress)
    if published is None:
        raise RuntimeError(f"the demo's gate failed, so there is no bundle to ask: {reason}")
    total = sum(row.value for row in rows)
    return [*rows, Row("demo: all stages", total, "s", goal="under 360", ok=total < 360)], published


def _answers(bundle: Bundle) -> Iterator[Row]:
    user = bundle.state.any_query()
    bundle.recommend(user)
    times = []
    for _ in range(CALLS):
        with _clock() as taken:
            bundle.recommend(user)
        times.append(taken[0] * 1000)
    yield Row("recommend, one query, p50", statistics.median(times), "ms")
    yield Row("recommend, one query, p99", sorted(times)[int(CALLS * 0.99)], "ms")


@contextmanager
def _clock() -> Iterator[list[float]]:
    """A list that holds the seconds once the block has ended."""
    taken: list[float] = []
    started = time.perf_counter()
    yield taken
    taken.append(time.perf_counter() - started)


if __name__ == "__main__":
    bench("stages", measure)

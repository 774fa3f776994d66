"""Versions are swapped while lists are asked for."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.callers import Outcome, call
from tests.bench.harness import Row
from tests.bench.processes import resident
from tests.faults.scene import Scene, by_source, calling, failed, load
from tests.serving.server.running import Running

GROWTH, SLOWER = 0.10, 5.0


@dataclass(frozen=True)
class Plan:
    """How many swaps; seconds of the load that is compared with; and of what the server can answer, the share that is
    asked for."""

    swaps: int = 50
    steady: float = 20.0
    share: float = 0.3


def measure(scene: Scene, plan: Plan) -> Iterator[Row]:
    """Swap from 1 to 2, 3, and so on."""
    with scene.served("swaps") as (running, model):
        rate = plan.share * call(load(running, callers=4, seconds=plan.steady / 2)).throughput
        steady = call(load(running, callers=16, seconds=plan.steady, rate=rate))
        _swap(scene, running, model, 2)  # what a first swap takes it keeps
        before = _resident(running)
        under_way = calling(running, callers=16, rate=rate)
        for number in range(3, 3 + plan.swaps):
            _swap(scene, running, model, number)
        outcome = under_way.stop()
        call(load(running, callers=16, seconds=plan.steady, rate=rate))
        after = _resident(running)
        refused = running.metric("twinspire_versions_refused", reason="damaged")
    yield from _rows(scene, plan, steady, outcome)
    yield Row("swaps: versions refused", refused, "", "all of them are whole", "0", refused == 0)
    growth = sum(after) / sum(before) - 1
    parts = ", ".join(
        f"{name} {a / 2**20:.0f} to {b / 2**20:.0f} MiB"
        for name, a, b in zip(("server", "worker"), before, after, strict=True)
    )
    yield Row("swaps: memory of server and worker grew by", growth, "", parts, f"under {GROWTH}", growth < GROWTH)


def _rows(scene: Scene, plan: Plan, steady: Outcome, outcome: Outcome) -> Iterator[Row]:
    what = f"{plan.swaps} swaps under {outcome.throughput:.0f} calls/s"
    lost, versions = failed(outcome), {version for _, version, _, _, _ in outcome.answers}
    yield Row(f"{what}: requests that failed", lost, "", f"of {outcome.calls:,}", "0", lost == 0)
    others = sum(count for source, count in by_source(outcome).items() if source != "model")
    yield Row(f"{what}: answers that were not the model's", others, "", str(by_source(outcome)), "0", others == 0)
    wrong, seen = scene.wrong(outcome), len(versions)
    yield Row(f"{what}: answers of another version than they name", wrong, "", f"{seen} versions", "0", wrong == 0)
    times = outcome.at(0.99) / steady.at(0.99)
    parts = f"{steady.at(0.99):.1f} ms before, {outcome.at(0.99):.1f} ms while swapping"
    yield Row(
        f"{what}: p99, to that of the same load before", times, "times", parts, f"at most {SLOWER:g}", times <= SLOWER
    )


def _swap(scene: Scene, running: Running, model: Path, number: int) -> None:
    """Publish a version, wait until it answers and the one before has ended, and take that one away."""
    scene.publish(model, number)
    running.ready(number)
    running.until(lambda: [one["version"] for one in running.status()["processes"]] == [number], "one process")
    running.until(lambda: len(running.status()["versions"]) == 1 or number < 3, "one version")
    if number > 2:
        shutil.rmtree((model / str(number - 2)).rename(model / ".gone"))


def _resident(running: Running) -> list[int]:
    return [resident(running.process.pid), resident(running.worker())]

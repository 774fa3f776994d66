"""Several times as many requests come as can be answered."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.bench.callers import call
from tests.bench.harness import Row
from tests.bench.processes import resident
from tests.faults.scene import Scene, load
from tests.serving.server.running import Running

TIMES, DEADLINE, REFUSED = 5, 0.5, 0.05  # seconds
_CALLERS = 250  # far more than there is room for


def measure(scene: Scene, seconds: float = 20.0) -> Iterator[Row]:
    """Find what can be answered, and ask for five times that at an even rate."""
    with scene.served("overload", f"limits.deadline={DEADLINE}") as (running, _):
        possible = call(load(running, callers=8, seconds=seconds / 4)).throughput
        before = resident(running.process.pid)
        outcome = call(load(running, callers=_CALLERS, seconds=seconds, rate=TIMES * possible))
        grown = resident(running.process.pid) / before - 1
        shed = _histogram(running, "twinspire_shed_seconds")
        accepted = _histogram(running, "twinspire_request_seconds", route="/recommend")
        after = call(load(running, calls=20))
    what = f"{outcome.throughput / possible:.1f} times what can be answered"
    counts = ", ".join(f"{count:,} x {status}" for status, count in sorted(outcome.statuses.items()))
    odd = outcome.calls - sum(outcome.statuses.get(status, 0) for status in (200, 503))
    yield Row(f"{what}: answers that are neither 200 nor 503", odd, "", counts, "0", odd == 0)
    soon = _share(shed, REFUSED)
    reference = f"of {shed[float('inf')]:,.0f} refusals within {REFUSED * 1e3:.0f} ms, timed in the server"
    yield Row(f"{what}: refused at once", soon, "", reference, "all", soon == 1.0)
    within = _share(accepted, DEADLINE)
    reference = f"within {DEADLINE} s; p50 {outcome.at(0.5):.0f}, p99 {outcome.at(0.99):.0f} ms since they were due"
    yield Row(f"{what}: accepted ones answered in time", within, "", reference, "at least .99", within >= 0.99)
    wrong = scene.wrong(outcome)
    yield Row(f"{what}: answers of another version", wrong, "", "", "0", wrong == 0)
    yield Row(f"{what}: the server's memory grew by", grown, "", f"{_CALLERS} connections")
    well = after.statuses == {200: 20}
    yield Row("calls after it that were answered", after.statuses.get(200, 0), "", "of 20", "all", well)


def _histogram(running: Running, name: str, **labels: str) -> dict[float, float]:
    """Counts of a histogram up to each of its bounds."""
    wanted = "".join(f'(?=.*{key}="{value}")' for key, value in labels.items())
    found = re.findall(rf'^{name}_bucket{{{wanted}.*le="([^"]+)".*}} (\S+)$', running.client.get("/metrics").text, re.M)
    return {float(bound): float(count) for bound, count in found}


def _share(histogram: dict[float, float], bound: float) -> float:
    return histogram[bound] / max(histogram[float("inf")], 1.0)

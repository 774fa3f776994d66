"""`make bench-serving`: lists over HTTP from a bundle of a million items, beside the session alone and two peers.

All of it on one machine in one run: untrained towers whose users have a history of 50, 500 candidates ranked, 20
listed. What is compared is asked by turns. The load comes from processes of its own, whose cost is told.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from serving.bundle import Bundle
from serving.manifest import manifest_of
from tests.bench.callers import Load, Outcome, call
from tests.bench.harness import Row, bench, shown
from tests.bench.processes import Turn, cpu_seconds, resident
from tests.bench.serving_peers import Peer, bodies_of
from tests.bench.serving_requests import USERS, bodies
from tests.bench.untrained import NAME, built
from tests.serving.server.running import Running, serving

P50, P99, ADDED = 5.0, 10.0, 1.0  # milliseconds
SHARE, GROWTH, READY = 0.9, 0.05, 3.0  # of the cores' calls; of memory; seconds
USUAL = ("limits.deadline=0.5",)  # as configured, where tests wait longer
INSIDE = "tests.bench.serving_inside"


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    items: of the bundle; start: of another one, whose start is timed; rounds, calls: of what takes turns; callers,
    seconds: of each load; steady: seconds of the steady one; peers: whether they are asked, too.
    """

    items: int = 1_000_000
    start: int = 100_000
    rounds: int = 5
    calls: int = 400
    callers: int = 8
    seconds: float = 15.0
    steady: float = 60.0
    peers: bool = True


def measure(plan: Plan, folder: Path) -> Iterator[Row]:
    """Build what is not there yet in a folder, and ask it."""
    model, other = (folder / str(items) / NAME for items in (plan.items, plan.start))
    for path, items in ((model, plan.items), (other, plan.start)):
        if not (path / "1").is_dir():
            built(path / "1", items, USERS)
    with _started(other, folder) as (_, seconds):
        what = f"from start to ready with {plan.start:,} items"
        yield Row(what, seconds, "s", "files in the page cache", f"under {READY:g}", seconds < READY)
    with _started(model, folder) as (running, seconds):
        yield Row(f"from start to ready with {plan.items:,} items", seconds, "s", "files in the page cache")
        yield from _one_client(running, model / "1", plan)
        throughput = yield from _busy(running, plan)
        yield from _steady(running, plan, throughput)
        if plan.peers:
            yield from _peers(running, model / "1", plan)


@contextmanager
def _started(model: Path, folder: Path) -> Iterator[tuple[Running, float]]:
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=folder) as state, serving(model, Path(state), *USUAL) as running:
        yield running, time.perf_counter() - started


def _one_client(running: Running, bundle: Path, plan: Plan) -> Iterator[Row]:
    """The whole way, the session alone, and what lies between, by turns."""
    names = ("HTTP", "session", "hop")
    taken: dict[str, list[np.ndarray]] = {name: [] for name in names}
    processors = []
    with ExitStack() as ends:
        turns = {name: Turn(INSIDE, name, bundle) for name in ("session", "hop")}
        for turn in turns.values():
            ends.callback(turn.end)
            turn.take(plan.calls // 4 + 1)
        call(Load(running.address, bodies(), calls=plan.calls // 4 + 1))
        for _ in range(plan.rounds):
            for name, turn in turns.items():
                taken[name].append(turn.take(plan.calls))
            outcome, spent = _measured(running, Load(running.address, bodies(), calls=plan.calls))
            _all_answered(outcome)
            taken["HTTP"].append(outcome.taken)
            processors.append(spent / outcome.calls)
    p50, p99 = ({name: _ms(np.concatenate(taken[name]), at) for name in names} for at in (0.5, 0.99))
    what = f"one client, {plan.items:,} items"
    reference = f"{plan.rounds} x {plan.calls} calls"
    yield Row(f"{what}: POST /recommend, p50", p50["HTTP"], "ms", reference, f"at most {P50:g}", p50["HTTP"] <= P50)
    yield Row(f"{what}: POST /recommend, p99", p99["HTTP"], "ms", reference, f"at most {P99:g}", p99["HTTP"] <= P99)
    yield Row("the session alone, p50", p50["session"], "ms", f"p99 {p99['session']:.2f} ms, by turns")
    yield Row("the session behind the process hop, p50", p50["hop"], "ms", f"p99 {p99['hop']:.2f} ms, by turns")
    added = p50["HTTP"] - p50["session"]
    parts = f"hop {p50['hop'] - p50['session']:.2f}, server and HTTP {p50['HTTP'] - p50['hop']:.2f}"
    yield Row("HTTP and process hop add to the session's p50", added, "ms", parts, f"at most {ADDED:g}", added <= ADDED)
    server, worker = np.median(np.array(processors), axis=0) * 1e3
    yield Row(
        "processor time of a call, one client", server + worker, "ms", f"server {server:.2f}, worker {worker:.2f}"
    )


def _busy(running: Running, plan: Plan) -> Generator[Row, None, float]:
    """As many calls as it can answer; to their number in a second."""
    load = Load(running.address, bodies(), callers=plan.callers, seconds=plan.seconds)
    call(Load(running.address, bodies(), callers=plan.callers, seconds=plan.seconds / 5))
    outcome, spent = _measured(running, load)
    _all_answered(outcome)
    server, worker = spent / outcome.calls
    cores = os.cpu_count() or 1
    possible = cores / (server + worker)
    what = f"{plan.callers} clients"
    costs = (
        f"a call: server {server * 1e3:.2f}, worker {worker * 1e3:.2f}, load {outcome.cpu / outcome.calls * 1e3:.2f} ms"
    )
    yield Row(
        f"{what}: throughput",
        outcome.throughput,
        "calls/s",
        f"p50 {outcome.at(0.5):.1f}, p99 {outcome.at(0.99):.1f} ms",
    )
    yield Row(f"{what}: processor time of a call", (server + worker) * 1e3, "ms", costs)
    share = outcome.throughput / possible
    yield Row(
        f"{what}: throughput, of {cores} cores / processor seconds of a call", share, "", f"{possible:.0f} calls/s",
        f"at least {SHARE}", share >= SHARE,
    )  # fmt: skip
    return outcome.throughput


def _steady(running: Running, plan: Plan, throughput: float) -> Iterator[Row]:
    """Half of that, at an even rate."""
    pids = running.process.pid, running.worker()
    before = [resident(pid) for pid in pids]
    load = Load(running.address, bodies(), callers=4 * plan.callers, seconds=plan.steady, rate=throughput / 2)
    outcome = call(load)
    _all_answered(outcome)
    after = [resident(pid) for pid in pids]
    what = f"{plan.steady:g} s at half of that"
    yield Row(f"{what}: throughput", outcome.throughput, "calls/s", f"asked for {throughput / 2:.0f}")
    for name, quantile in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)):
        yield Row(f"{what}: {name}", outcome.at(quantile), "ms", "from when each call was due")
    growth = sum(after) / sum(before) - 1
    parts = ", ".join(
        f"{name} {a / 2**20:.0f} to {b / 2**20:.0f} MiB"
        for name, a, b in zip(("server", "worker"), before, after, strict=True)
    )
    yield Row(f"{what}: memory of server and worker grew by", growth, "", parts, f"under {GROWTH}", growth < GROWTH)


def _peers(running: Running, bundle: Path, plan: Plan) -> Iterator[Row]:
    """What others would do, by turns with this server."""
    ours: list[np.ndarray] = []
    one: list[np.ndarray] = []
    three: list[np.ndarray] = []
    with ExitStack() as ends:
        single = ends.enter_context(Peer.started("one", bundle))
        steps = ends.enter_context(Peer.started("three", bundle))
        asks = Turn("tests.bench.serving_peers", "ask", bundle, steps.address)
        ends.callback(asks.end)
        asks.take(plan.calls // 4 + 1)
        said = bodies_of(Bundle(bundle, manifest_of(bundle)))
        call(Load(single.address, said, calls=plan.calls // 4 + 1))
        for _ in range(plan.rounds):
            for address, requests, into in ((running.address, bodies(), ours), (single.address, said, one)):
                outcome = call(Load(address, requests, calls=plan.calls))
                _all_answered(outcome)
                into.append(outcome.taken)
            three.append(asks.take(plan.calls))
        rates = [
            call(Load(address, requests, callers=plan.callers, seconds=plan.seconds)).throughput
            for address, requests in ((running.address, bodies()), (single.address, said))
        ]
    own, peer, apart = (_ms(np.concatenate(taken), 0.5) for taken in (ours, one, three))
    tail, behind, last = (_ms(np.concatenate(taken), 0.99) for taken in (ours, one, three))
    yield Row(
        "tf.saved_model.load behind FastAPI, p50", peer, "ms", f"p99 {behind:.2f} ms; ours {own:.2f} and {tail:.2f}"
    )
    yield Row("it takes, to ours, p50", peer / own, "times", "one client, by turns")
    yield Row(
        "its throughput, to ours",
        rates[1] / rates[0],
        "times",
        f"{rates[1]:.0f} and {rates[0]:.0f} calls/s, {plan.callers} clients",
    )
    yield Row(
        "three calls, embed, search and rank, p50", apart, "ms", f"p99 {last:.2f} ms; ours {own:.2f} and {tail:.2f}"
    )
    yield Row("they take, to ours, p50", apart / own, "times", "one client, by turns")


def _measured(running: Running, load: Load) -> tuple[Outcome, np.ndarray]:
    """What came of a load, and seconds of the processor that server and worker took for it."""
    pids = running.process.pid, running.worker()
    before = [cpu_seconds(pid) for pid in pids]
    outcome = call(load)
    return outcome, np.array([cpu_seconds(pid) for pid in pids]) - before


def _all_answered(outcome: Outcome) -> None:
    if set(outcome.statuses) != {200}:
        raise RuntimeError(f"a request was not answered: {outcome.statuses}")


def _ms(taken: np.ndarray, quantile: float) -> float:
    return float(np.quantile(taken, quantile)) * 1e3


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=Plan.items)
    parser.add_argument("--start", type=int, default=Plan.start)
    parser.add_argument("--folder", type=Path, help="where bundles are kept from one run to the next")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        plan, folder = Plan(items=given.items, start=given.start), given.folder or Path(temporary)
        bench("serving", lambda: shown(measure(plan, folder)))

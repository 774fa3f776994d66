"""`make bench-large`: how fast towers train on a large catalogue, and in how much memory.

A simulated log of a million items, half a million users and five million events in 320 days, with the defaults of a
config that names ids and a category alone. Each kind of fit runs in a process of its own, one after another: an epoch
of the train stage with its validation, cut short after EXAMPLES, which is timed without start-up, tracing and
validation.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from configs.load import parse
from configs.schema import Config
from pipelines.dataset import load_dataset
from pipelines.progress import Progress
from pipelines.run import open_run, run_until
from tests.bench.harness import Row, bench, shown

ITEMS, USERS, EVENTS, DAYS = 1_000_000, 500_000, 5_000_000, 320
GROUPS = 1_000  # of items that go together; a user is drawn to one of them
EXAMPLES = 100_000
FITS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "every row moved at every step": {"optimizer": "adam"},
    "no moving average": {"average": 0.0},
}


def simulate(folder: Path, items: int, users: int, events: int) -> None:
    """Write the log and the catalogue: items are few or many events' by a power law, and some nobody's."""
    rng = np.random.default_rng(0)
    user = rng.integers(users, size=events)
    place = np.minimum((rng.pareto(1.1, size=events) * items / GROUPS / 50).astype(int), items // GROUPS - 1)
    drawn_to = rng.integers(GROUPS, size=users)
    group = np.where(rng.random(events) < 0.8, drawn_to[user], rng.integers(GROUPS, size=events))
    time = np.sort(1_700_000_000 + rng.integers(0, DAYS * 86_400, events))
    log = pd.DataFrame({"user": user, "item": place * GROUPS + group, "time": time})
    log.to_parquet(folder / "events.parquet")
    pd.DataFrame({"item": np.arange(items), "group": np.arange(items) % GROUPS}).to_parquet(folder / "items.parquet")


def config(folder: Path, train: dict[str, Any]) -> Config:
    """What says least of such tables, and of its fit."""
    events = {"path": "events.parquet", "query": "user", "item": "item", "time": "time", "meaning": "taken"}
    return parse(
        {
            "name": "bench-large",
            "data": {
                "source": "tables",
                "path": str(folder),
                "events": events,
                "items": {"path": "items.parquet", "id": "item"},
            },
            "features": [
                {"name": "item_id", "table": "items", "kind": "id", "column": "item"},
                {"name": "in_group", "table": "items", "kind": "category", "column": "group"},
            ],
            "train": {"max_epochs": 1, "max_examples": EXAMPLES} | train,
        }
    )


def measure(items: int, users: int, events: int) -> list[Row]:
    """Simulate, prepare, and fit in each way."""
    with tempfile.TemporaryDirectory() as folder:
        simulate(Path(folder), items, users, events)
        started = time.perf_counter()
        plain = config(Path(folder), {})
        prepared = run_until(open_run(plain, Path(folder) / "runs"), "prepare", Progress(quiet=True))
        size = f"{items:,} items, {users:,} users, {events:,} events"
        rows = [Row("prepared", time.perf_counter() - started, "s", size)]
        for name, train in FITS.items():
            command = [sys.executable, "-m", "tests.bench.large", "fit", folder, str(prepared), json.dumps(train)]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            found = json.loads(output.splitlines()[-1])
            told = f"{EXAMPLES:,} examples; {found['besides']:.0f} s before and for validation"
            rows.append(Row(f"{name}: throughput", found["throughput"], "examples/s", told))
            rows.append(Row(f"{name}: peak memory", found["peak"], "MB"))
        return shown(rows)


def fit(folder: Path, prepared: Path, train: dict[str, Any]) -> dict[str, float]:
    """An epoch of the train stage: examples a second, seconds besides, MB at most."""
    from pipelines.train import try_towers

    started, found = time.perf_counter(), dict[str, float]()

    def record(_: int, scalars: Mapping[str, float]) -> None:
        found["throughput"] = scalars["examples_per_second"]
        found["besides"] = time.perf_counter() - started - scalars["seconds"]

    with tempfile.TemporaryDirectory() as out:
        try_towers(load_dataset(config(folder, train), prepared), Path(out), Progress(quiet=True), record)
    lines = Path("/proc/self/status").read_text().splitlines()
    found["peak"] = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    return found


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["fit", folder, prepared, train]:
            print(json.dumps(fit(Path(folder), Path(prepared), json.loads(train))))
        case sizes:
            bench("large", lambda: measure(*(map(int, sizes) if sizes else (ITEMS, USERS, EVENTS))))

"""`make bench-upsert`: a thousand new items into a published bundle of a million, behind ScaNN; untrained towers.

Published in how many seconds, by part; how long the next version takes to load and to answer first; and whether what is
retrieved of the new items is what scoring every item exactly would retrieve.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipelines.upsert import upsert
from serving.bundle import load_bundle
from serving.variables import read_variables
from tests.bench.harness import Row, bench
from tests.bench.untrained import NAME, build, table

NEW, K, QUERIES, SECONDS = 1_000, 1_000, 200, 10.0  # so many asked for that new items are among them


def measure(items: int) -> Iterator[Row]:
    """Build the bundle, put the new items in, and ask both."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / NAME
        build(model / "1", items)
        new = table(NEW, "new", np.random.default_rng(1))
        new.to_parquet(Path(folder) / "new.parquet")
        done = upsert(model, Path(folder) / "new.parquet")
        spent = sum(done.seconds.values())
        parts = ", ".join(f"{name} {seconds:.1f}" for name, seconds in done.seconds.items())
        what = f"{NEW:,} items into {items:,}"
        yield Row(f"{what}: published", spent, "s", parts, f"under {SECONDS:g}", spent < SECONDS)
        started = time.perf_counter()
        bundle = load_bundle(done.version)
        bundle.recommend(history=["i1"])
        yield Row("the next version verified, loaded and asked once", time.perf_counter() - started, "s")
        found, best = asked(bundle, items)
        recall = float((found & best).sum() / best.sum())
        yield Row("new items among the best of all: retrieved", recall, "", f"{best.sum():,} of them", "1", recall == 1)


def asked(bundle, items: int) -> tuple[np.ndarray, np.ndarray]:
    """Which new items are retrieved, and which are among the K best of all, each [QUERIES, NEW] bool."""
    variables = read_variables(bundle.folder)
    vectors = np.concatenate([variables[f"retrieval/{name}"] for name in ("static", "trend", "mixed")], axis=1)
    found = np.zeros((QUERIES, NEW), bool)
    best = np.zeros((QUERIES, NEW), bool)
    for row in range(QUERIES):
        request = bundle.request(history=[f"i{row * 7}", f"n{row % NEW}"])
        scores = vectors @ bundle.run("embed_user", request)["vector"][0]
        scores[[row * 7, items + row % NEW]] = -np.inf  # taken
        top = np.argpartition(-scores, K)[:K]
        best[row, top[top >= items] - items] = True
        answer = bundle.run("retrieve", request | bundle.inputs.limits(K))["items"][0]
        new = [int(item[1:]) for item in answer if item.startswith(b"n")]
        found[row, new] = True
    return found, best


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=1_000_000)
    items = parser.parse_args().items
    bench("upsert", lambda: list(measure(items)))

"""`make bench-upsert`: a thousand new items into a published bundle of a million, behind ScaNN; untrained towers.

Published in how many seconds, by part; how long the next version takes to load and to answer first; and whether what is
retrieved of the new items is what scoring every item exactly would retrieve.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from configs.load import parse
from pipelines.upsert import upsert
from serving.bundle import Bundle, load_bundle
from serving.compaction import index_facts
from serving.golden import GOLDEN, answer_golden, golden_value
from serving.likes import Likes
from serving.manifest import seal
from serving.recommender import Catalogue, Models, Recommender
from serving.runtime import signature_table
from serving.searchers import build_searcher
from serving.state import STATE, write_state
from serving.variables import read_variables
from tests.bench.harness import Row, bench
from towers.backend import tf
from towers.features import Preprocess, encode, statistics
from towers.ranker import Ranker
from towers.retrieval import TwoTower

NEW, K, QUERIES, SECONDS = 1_000, 1_000, 200, 10.0  # so many asked for that new items are among them
CONFIG: dict[str, Any] = {
    "name": "million",
    "data": {
        "source": "tables",
        "path": "nowhere",
        "events": {"path": "e", "query": "user", "item": "item", "time": "time", "meaning": "took it"},
        "items": {"id": "item", "filters": ["category"]},
    },
    "features": [
        {"name": "item_id", "table": "items", "kind": "id", "column": "item", "dimension": 32},
        {"name": "category", "table": "items", "kind": "category"},
        {"name": "price", "table": "items", "kind": "number"},
    ],
    "index": {"searcher": "scann"},
}


def measure(items: int) -> Iterator[Row]:
    """Build the bundle, put the new items in, and ask both."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "million"
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


def table(rows: int, prefix: str, rng: np.random.Generator) -> pd.DataFrame:
    """Raw columns of an item table."""
    return pd.DataFrame({
        "item": [f"{prefix[0]}{row}" for row in range(rows)],
        "category": rng.choice([f"c{number}" for number in range(50)], rows),
        "price": rng.uniform(0, 100, rows).astype(np.float32),
    })  # fmt: skip


def build(folder: Path, items: int) -> None:
    """A sealed bundle of so many items."""
    config, rng = parse(CONFIG), np.random.default_rng(0)
    raw = table(items, "i", rng)
    columns = {"item_id": raw["item"].to_numpy(object), "category": raw["category"].to_numpy(object)}
    columns["price"] = raw["price"].to_numpy()
    fitted = statistics(config.on("items"), columns)
    encoded = encode(Preprocess(config.on("items"), fitted), columns)
    towers, ranker = TwoTower(config, fitted, encoded, 0), Ranker(config, fitted)
    static = np.concatenate([
        towers.item_vectors(tf.range(start, min(start + 65_536, items))).numpy() for start in range(0, items, 65_536)
    ])  # fmt: skip
    side = ranker.item_vectors(encoded).numpy()
    read = np.zeros((1, config.towers.history.length), np.int32)
    batch = {"item": tf.constant(read), "mask": tf.constant(read > 0), "item_time": tf.constant(read, tf.int64)}
    batch["moment"] = tf.zeros([1, read.shape[1] + 1], tf.int64)
    towers.query_vectors(batch, towers.history_tokens(read, tf.gather(static, read)))
    ranker.score(batch, tf.gather(side, read), side[None, :4], tf.zeros([1, 4, 0]), tf.zeros([1, 4]))
    none, everything = np.zeros((items, 0), np.float32), np.arange(items, dtype=np.int32)
    likes = Likes((), np.zeros((items, 0), np.int32))
    catalogue = Catalogue(
        columns["item_id"].tolist(), static, none, side, everything, everything, likes, none, np.zeros(0, np.float32),
        {"category": columns["category"]},
    )  # fmt: skip
    searcher = build_searcher("scann", static)
    module = Recommender(config, Models(towers, ranker, searcher, fitted), catalogue)
    tf.saved_model.save(module, str(folder), signatures=module.signatures())
    (folder / STATE).parent.mkdir(parents=True, exist_ok=True)
    write_state(folder / STATE, zip(columns["item_id"], columns["item_id"], strict=True), [])
    facts = {"name": "million", "policy": "model", "searcher": "scann", "items": items, "publishable": True}
    facts |= {"config": config.model_dump(mode="json"), "data": {"start": 0, "end": 0, "events": 1}, "defaults": {}}
    facts |= {"filters": {"category": sorted(set(columns["category"]))}, "verdicts": []}
    facts |= {"signatures": signature_table(folder), "index": index_facts(searcher)}
    bundle = Bundle(folder, facts)
    request = bundle.request(history=["i1"]) | bundle.inputs.limits(10) | bundle.inputs.reranking()
    described = {name: golden_value(value) for name, value in request.items()}
    (folder / GOLDEN).write_text(json.dumps([{"inputs": described, "items": [""]}]))
    answer_golden(bundle)
    seal(folder, facts)


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

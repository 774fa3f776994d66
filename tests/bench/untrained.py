"""Large bundles without training: simulated items behind ScaNN, towers and a ranker with their first weights.

What a bundle costs to answer depends on its sizes and not on what it learned. Two seeds are two models: they list other
items.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from configs.load import parse
from serving.bundle import Bundle
from serving.compaction import index_facts
from serving.filters import filter_values
from serving.golden import write_golden
from serving.likes import Likes
from serving.manifest import seal
from serving.popular import DEPTH, EVERYONE, POPULAR, Popular, PopularItem, write_popular
from serving.recommender import Catalogue, Models, Recommender
from serving.runtime import signature_table
from serving.searchers import build_searcher
from serving.state import STATE, QueryState, write_state
from towers.backend import keras, tf
from towers.features import Preprocess, encode, statistics
from towers.ranker import Ranker
from towers.retrieval import TwoTower

NAME = "million"
CONFIG: dict[str, Any] = {
    "name": NAME,
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
CANDIDATES = 500
END = 1_700_000_000  # end of the data of queries with a history
_PART = 65_536  # items whose vectors are computed at a time


def table(rows: int, prefix: str, rng: np.random.Generator) -> pd.DataFrame:
    """Raw columns of an item table."""
    return pd.DataFrame({
        "item": [f"{prefix[0]}{row}" for row in range(rows)],
        "category": rng.choice([f"c{number}" for number in range(50)], rows),
        "price": rng.uniform(0, 100, rows).astype(np.float32),
    })  # fmt: skip


def build(folder: Path, items: int, changed: Mapping[str, Any] | None = None, users: int = 0, seed: int = 0) -> None:
    """A sealed bundle of so many items, "i0" to "iN", and users, "u0" to "uN", with as many items in their histories as
    the towers read; `changed` tables of `CONFIG`."""
    config, rng = parse({**CONFIG, **(changed or {})}), np.random.default_rng(0)
    keras.utils.set_random_seed(seed)
    raw = table(items, "i", rng)
    columns = {"item_id": raw["item"].to_numpy(object), "category": raw["category"].to_numpy(object)}
    columns["price"] = raw["price"].to_numpy()
    fitted = statistics(config.on("items"), columns)
    encoded = encode(Preprocess(config.on("items"), fitted), columns)
    towers, ranker = TwoTower(config, fitted, encoded, 0), Ranker(config, fitted)
    parts = (tf.range(start, min(start + _PART, items)) for start in range(0, items, _PART))
    static = np.concatenate([towers.item_vectors(part).numpy() for part in parts])
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
    searcher, depth = build_searcher("scann", static), config.index.candidates
    searcher.effort = replace(searcher.effort, k=depth, reorder=2 * depth)  # what tuning would name it for
    module = Recommender(config, Models(towers, ranker, searcher, fitted), catalogue)
    tf.saved_model.save(module, str(folder), signatures=module.signatures())
    (folder / STATE).parent.mkdir(parents=True, exist_ok=True)
    histories = _histories(users, items, config.towers.history.length)
    write_state(folder / STATE, zip(columns["item_id"], columns["item_id"], strict=True), histories)
    write_popular(folder / POPULAR, _popular(raw))
    facts = {"name": NAME, "policy": "model", "searcher": "scann", "items": items, "publishable": True}
    facts |= {"config": config.model_dump(mode="json"), "data": {"start": 0, "end": END if users else 0, "events": 1}}
    facts |= {"filters": {"category": sorted(set(columns["category"]))}, "verdicts": [], "defaults": {}}
    facts |= {"signatures": signature_table(folder), "index": index_facts(searcher)}
    bundle = Bundle(folder, facts)
    request = bundle.request(history=["i1"]) | bundle.inputs.limits(10) | bundle.inputs.reranking()
    write_golden(folder, [(request, bundle.run("recommend", request))])
    seal(folder, facts)


def _histories(users: int, items: int, length: int) -> Iterator[tuple[str, QueryState]]:
    rng = np.random.default_rng(2)
    times = [END - 60 * place for place in range(length, 0, -1)]
    for user in range(users):
        yield f"u{user}", QueryState({}, [f"i{row}" for row in rng.integers(0, items, length)], times)


def _popular(raw: pd.DataFrame) -> Popular:
    rows = raw.head(DEPTH)
    items = {
        item: PopularItem(item, {"category": filter_values([category])})
        for item, category in zip(rows["item"], rows["category"], strict=True)
    }
    return Popular(None, items, {EVERYONE: [*items]})


def built(folder: Path, items: int, users: int, seed: int = 0) -> Path:
    """Such a bundle that ranks `CANDIDATES`, built by a process of its own, as TensorFlow keeps what it took."""
    command = [sys.executable, "-m", "tests.bench.untrained", str(folder), str(items), str(users), str(seed)]
    subprocess.run(command, check=True)
    return folder


if __name__ == "__main__":
    where, *numbers = sys.argv[1:]
    items, users, seed = map(int, numbers)
    build(Path(where), items, {"index": {"searcher": "scann", "candidates": CANDIDATES}}, users, seed)

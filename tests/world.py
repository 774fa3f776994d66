"""A tiny planted world with one right answer: a query takes items of its own block and of no other.

Query q and item i are of block q % BLOCKS and i % BLOCKS. Every query takes 18 of the 25 items of its block, so
the best candidates are the 7 that are left. Items of a block share a colour, so content says what the id says.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from configs.load import parse
from configs.schema import Config
from pipelines.dataset import Dataset
from pipelines.encoded import Encoded, encode_tables
from pipelines.examples import Examples
from pipelines.prepare import Prepared
from pipelines.sequences import Sequences
from pipelines.split import Cut, cut_log
from pipelines.tables import Interactions
from pipelines.trend import available_times, listed_times, trend_of
from pipelines.trend_counts import trends_of
from towers.features import encode
from towers.negatives import Sources
from towers.retrieval import Log

BLOCKS, ITEMS, QUERIES, TAKEN = 6, 150, 60, 18
DAY = 86_400
START = 19_700 * DAY
DAYS = 60

_VALUES: dict[str, Any] = {
    "name": "world",
    "seed": 3,
    "data": {
        "source": "tables",
        "path": ".",
        "events": {"path": "events.csv", "query": "user", "item": "item", "time": "time", "meaning": "taken"},
        "items": {"id": "item"},
        "queries": {"id": "user"},
        "segment": "region",
    },
    "features": [
        {"name": "item_id", "column": "item", "table": "items", "kind": "id", "dimension": 8},
        {"name": "colour", "table": "items", "kind": "category", "dimension": 4},
        {"name": "genres", "table": "items", "kind": "multi_category", "dimension": 4},
        {"name": "words", "table": "items", "kind": "text", "dimension": 4, "length": 4},
        {"name": "price", "table": "items", "kind": "number", "log": True},
        {"name": "picture", "table": "items", "kind": "vector", "width": 3, "dimension": 4},
        {"name": "user_id", "table": "queries", "kind": "id", "dimension": 4},
        {"name": "region", "table": "queries", "kind": "category", "dimension": 4},
        {"name": "device", "table": "events", "kind": "category", "dimension": 4},
        {"name": "moment", "table": "events", "kind": "time"},
    ],
    "split": {"validation": 0.7, "ranker": 0.8, "test": 0.9},
    "towers": {"embedding_dim": 8, "hidden": [16], "history": {"length": 6, "layers": 1, "heads": 2}},
    "train": {"batch": 250, "learning_rate": 0.01, "max_epochs": 4, "negatives": {"uniform": 16}},
    "index": {"searcher": "exact", "candidates": 20},
    "gate": {"k": 20, "list_k": 5},
    "ranker": {"hidden": [16]},
    "rerank": {"pool": 20},
}


def config(changes: dict[str, Any] | None = None) -> Config:
    """The world's config, with changes by dotted key."""
    return parse(_changed(_VALUES, changes or {}))


def _changed(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    changed = dict(values)
    for key, value in changes.items():
        head, _, rest = key.partition(".")
        changed[head] = _changed(changed.get(head, {}), {rest: value}) if rest else value
    return changed


def log(seed: int = 0) -> Interactions:
    """1,080 events over 60 days; the first stands at START."""
    rng = np.random.default_rng(seed)
    query = np.repeat(np.arange(QUERIES), TAKEN)
    item = np.concatenate([rng.permutation(np.arange(q % BLOCKS, ITEMS, BLOCKS))[:TAKEN] for q in range(QUERIES)])
    time = START + rng.integers(0, DAYS * DAY, len(query))
    time[0] = START
    order = np.argsort(time, kind="stable")
    context = {
        "device": rng.choice(np.array(["phone", "desk"], object), len(query)),
        "moment": time[order],
    }
    weight = np.ones(len(query), np.float32)
    return Interactions(
        query[order].astype(np.int32), item[order].astype(np.int32), time[order].astype(np.int64), weight, context
    )


def items() -> pd.DataFrame:
    """The catalogue as the prepare stage leaves it."""
    row = np.arange(ITEMS)
    return pd.DataFrame(
        {
            "item": [f"i{i:03}" for i in row],
            "title": [f"Item {i}" for i in row],
            "available_from": pd.array([pd.NA] * ITEMS, "Int64"),
            "item_id": [f"i{i:03}" for i in row],
            "colour": [f"colour{i % BLOCKS}" for i in row],
            "genres": ["a|b" if i % 2 else "c" if i % 3 else "" for i in row],
            "words": [f"thing number {i % 10}" for i in row],
            "price": 1.0 + row % 7,
            "picture": [[float(i % 2), float(i % 3), 1.0] for i in row],
        }
    )


def queries() -> pd.DataFrame:
    """The query table as the prepare stage leaves it."""
    row = np.arange(QUERIES)
    names = [f"u{q:02}" for q in row]
    return pd.DataFrame({"query": names, "user_id": names, "region": ["north" if q % 4 else "" for q in row]})


def dataset(
    config: Config,
    log: Interactions,
    items: pd.DataFrame | None = None,
    queries: pd.DataFrame | None = None,
) -> Dataset:
    """A data set straight from arrays; by default over the world's tables."""
    items = globals()["items"]() if items is None else items
    queries = globals()["queries"]() if queries is None else queries
    available = available_times(items["available_from"].to_numpy(np.float64, na_value=np.nan), log, len(items))
    tables = Prepared(log, items, queries, pd.Categorical([""] * len(log)))
    return Dataset(config, tables, cut_log(config.split, log, config.seed), available, trend_of(config, log))


def encoded(data: Dataset) -> Encoded:
    """Encoded tables, with statistics as the train stage takes them."""
    context = data.past(data.cuts.validation).context
    everything = (np.ones(data.n_items, bool), np.ones(data.n_queries, bool))
    return encode_tables(data.config, data.tables.items, data.tables.queries, context, *everything)


def examples(data: Dataset, encoded: Encoded, cut: Cut) -> Examples:
    """Training batches of the events before `cut`."""
    sequences = Sequences.of(data.past(cut), data.n_queries)
    context = encode(encoded.context, sequences.context)
    return Examples(data.config, sequences, encoded.queries, context, data.trend, data.n_items)


def training_log(data: Dataset, examples: Examples, cut: Cut, beforehand: bool = True) -> Log:
    """What the loss knows of the events before `cut`, with trends worked out beforehand or as they are asked for."""
    past = data.past(cut)
    listed = listed_times(past, data.available)
    return Log(
        trends_of(data.trend, past, data.available, beforehand),
        listed,
        Sources.of(data.config.train.negatives, *examples.shares(listed)),
    )


def sequences(log: Interactions, queries: int = QUERIES) -> Sequences:
    """Events by query."""
    return Sequences.of(log, queries)

"""Small logs with something planted in them, as the prepare stage would leave them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from configs.load import parse
from pipelines.diagnose import Observed
from pipelines.prepare import Prepared
from pipelines.tables import Interactions

DAY = 86_400
START = 19_700 * DAY  # midnight of 2023-12-09 (UTC)


def observed(
    query: Any,
    item: Any,
    time: Any,
    items: dict[str, Any] | None = None,
    queries: dict[str, Any] | None = None,
    context: dict[str, Any] | None = None,
    features: tuple[dict[str, Any], ...] = (),
    kinds: Any = None,
    ratings: Any = None,
    weights: Any = None,
    values: Any = None,
    clock: bool = True,
    n_items: int | None = None,
    **sections: Any,
) -> Observed:
    """A log from arrays, sorted by time; `items`, `queries` and `context` hold columns, `sections` config values."""
    query, item, time = (np.asarray(values) for values in (query, item, time))
    order = np.argsort(time, kind="stable")
    n_queries, n_items = int(query.max()) + 1, n_items or int(item.max()) + 1
    given = {name: np.asarray(column)[order] for name, column in (context or {}).items()}
    kind = np.full(len(time), "") if kinds is None else np.asarray(kinds)
    log = Interactions(
        query[order].astype(np.int32),
        item[order].astype(np.int32),
        time[order].astype(np.int64),
        np.ones(len(time), np.float32) if weights is None else np.asarray(weights, np.float32)[order],
        given,
        None if values is None else np.asarray(values, np.float32)[order],
    )
    item_table = pd.DataFrame(
        {"item": [f"i{n}" for n in range(n_items)], "title": [f"Item {n}" for n in range(n_items)]}
    )
    item_table["available_from"] = pd.array([pd.NA] * n_items, "Int64")
    for name, column in (items or {}).items():
        item_table[name] = column
    query_table = pd.DataFrame({"query": [f"q{n}" for n in range(n_queries)], **(queries or {})})
    tables = Prepared(
        log,
        item_table,
        query_table,
        pd.Categorical(kind[order]),
        None if ratings is None else np.asarray(ratings, np.float32)[order],
    )
    return Observed.of(config(features, clock, "available_from" in (items or {}), **sections), tables)


def config(
    features: tuple[dict[str, Any], ...] = (), clock: bool = True, entering: bool = False, **sections: Any
) -> Any:
    """A config of tables with these features; `sections` as "data.segment" would be {"data": {"segment": ...}}."""
    data: dict[str, Any] = {
        "source": "tables",
        "path": ".",
        "events": {"path": "e.csv", "query": "q", "item": "i", "time" if clock else "order": "t", "meaning": "took it"},
        "items": {"id": "i"} | ({"available_from": "since"} if entering else {}),
        **sections.pop("data", {}),
    }
    ids = {"name": "item_id", "table": "items", "kind": "id"}
    sections = {"gate": {"k": 20, "list_k": 5}, "index": {"candidates": 50}} | sections
    return parse({"name": "w", "data": data, "features": [ids, *features], **sections})


def popular(rng: np.random.Generator, size: int, items: int, steep: float = 1.0) -> np.ndarray:
    """[size] items drawn by popularity alone, the first ones most often."""
    share = 1 / np.arange(1, items + 1) ** steep
    return rng.choice(items, size, p=share / share.sum())


def plain(seed: int = 0, events: int = 6_000, items: int = 200, queries: int = 500, **more: Any) -> Observed:
    """Popularity that never changes, and nothing else: every event is drawn alike, over 60 days."""
    rng = np.random.default_rng(seed)
    time = START + rng.integers(0, 60 * DAY, events)
    return observed(rng.integers(0, queries, events), popular(rng, events, items), time, n_items=items, **more)


def blocks(seed: int = 0, events: int = 6_000, items: int = 200, queries: int = 500, of: int = 4) -> Observed:
    """Every query keeps to one of `of` blocks of items, all of them alike in popularity."""
    rng = np.random.default_rng(seed)
    query = rng.integers(0, queries, events)
    item = query % of + of * popular(rng, events, items // of)
    return observed(query, item, START + rng.integers(0, 60 * DAY, events), n_items=items)

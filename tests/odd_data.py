"""Two small data sets that are unlike the built-in ones, each with a right answer: sessions keep to one block of items.

`write_sessions`: sessions as queries, ids full of odd characters, no user table, several kinds of events, context
columns, list columns; as Parquet or CSV. `write_ordered`: an order number instead of a clock, and no item table.
Both return the TOML text of their config. A few bad rows are planted; `BAD_ROWS` says how many of each.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

BLOCKS = 4
ITEMS = 180
SESSIONS = 700
START = 1_700_000_000
SPREAD = [
    'a "quoted" id',
    "it's, with comma",
    "naïve café",
    "  spaces  ",
    "emoji 🛒",
    "new\nline",
    "007",
    "semi;colon|bar",
]
KINDS = ["view", "cart", "buy"]
BAD_ROWS = {
    "no query id": 2,
    "no item id": 3,
    "no time": 1,
    "unreadable time": 2,
    "time in the future": 2,
    "kind not in weights": 4,
    "item not in the catalogue": 2,
    "duplicate": 5,
}


def item_ids() -> list[str]:
    """[ITEMS] ids; item i belongs to block i % BLOCKS."""
    return [f"{SPREAD[i % len(SPREAD)]}#{i:03d}" for i in range(ITEMS)]


def write_sessions(folder: Path, form: str = "parquet") -> str:
    """Write events and items as `form` ("parquet" or "csv") and return the config's text."""
    rng = np.random.default_rng(11)
    events = _session_events(rng)
    if form == "csv":
        events["at"] = pd.to_datetime(events["at"], unit="ms").dt.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    events = pd.concat([events.astype(object), _bad_events(events, form)], ignore_index=True)
    items = _items(rng)
    if form == "csv":
        events.to_csv(folder / "events.csv", index=False)
        items["tags"] = items["tags"].map("|".join)
        items["embedding"] = items["embedding"].map(json.dumps)
        items.to_csv(folder / "items.csv", index=False)
    else:
        # A Parquet column has one type, so beside an unreadable time all times are text.
        events["at"] = [None if at is None else str(at) for at in events["at"]]
        events["load"] = events["load"].astype(float)
        _write_parts(events, folder / "events")
        pq.write_table(pa.Table.from_pandas(items, preserve_index=False), folder / "items.parquet")
    events_path = "events.csv" if form == "csv" else "events/*.parquet"
    return _SESSIONS_TOML.format(
        folder=json.dumps(str(folder)),
        events=events_path,
        items=f"items.{form}",
        unit="s" if form == "csv" else "ms",
    )


def write_ordered(folder: Path, start: int = 1_000) -> str:
    """Write a log of users with an order number and no clock, half of the users in a table; returns the config.

    The order numbers count up from `start`; the rows stand in another order.
    """
    rng = np.random.default_rng(12)
    users, events = 300, 4_000
    user = rng.integers(0, users, events)
    item = _in_block(rng, user % BLOCKS)
    log = pd.DataFrame(
        {
            "who": [f"user {u}" for u in user],
            "what": item,
            "step": start + np.arange(events),
            "page": np.where(rng.random(events) < 0.5, "home", "search"),
        }
    )
    log = log.sample(frac=1, random_state=1).reset_index(drop=True)
    log.to_csv(folder / "log.csv", index=False)
    known = range(0, users, 2)  # half of the users have no row
    table = pd.DataFrame({"who": [f"user {u}" for u in known], "plan": [f"plan {u % 3}" for u in known]})
    table.to_parquet(folder / "users.parquet", index=False)
    return _ORDERED_TOML.format(folder=json.dumps(str(folder)))


def _in_block(rng: np.random.Generator, block: np.ndarray) -> np.ndarray:
    """[n] item numbers, nine of ten from the given block, the first of each block more often."""
    size = ITEMS // BLOCKS
    within = np.minimum(rng.geometric(0.06, len(block)) - 1, size - 1)
    own = np.where(rng.random(len(block)) < 0.9, block, rng.integers(0, BLOCKS, len(block)))
    return own + BLOCKS * within


def _session_events(rng: np.random.Generator) -> pd.DataFrame:
    """Unique events of all sessions, in order of time; `at` in unix milliseconds."""
    lengths = rng.integers(4, 10, SESSIONS)
    session = np.repeat(np.arange(SESSIONS), lengths)
    begin = START + np.sort(rng.integers(0, 60 * 86_400, SESSIONS))
    place = np.arange(len(session)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    ids = np.array(item_ids(), dtype=object)
    frame = pd.DataFrame(
        {
            "session": [f"{SPREAD[s % len(SPREAD)]}/{s}" for s in session],
            "sku": ids[_in_block(rng, session % BLOCKS)],
            "at": (begin[session] + 60 * place) * 1_000 + 250,
            "type": rng.choice(KINDS, len(session), p=[0.7, 0.2, 0.1]),
            "channel": np.array(["web", "app", "kiosk"])[session % 3],
            "load": np.round(rng.gamma(2.0, 1.0, len(session)), 3),
        }
    )
    return frame.sort_values("at", kind="stable", ignore_index=True)


def _bad_events(events: pd.DataFrame, form: str) -> pd.DataFrame:
    """Rows of which each must be set aside for one reason, as many as BAD_ROWS says."""
    future = "2999-01-01T00:00:00Z" if form == "csv" else 32_472_144_000_000
    changes: dict[str, dict[str, Any]] = {
        "no query id": {"session": None},
        "no item id": {"sku": ""},
        "no time": {"at": None},
        "unreadable time": {"at": "yesterday"},
        "time in the future": {"at": future},
        "kind not in weights": {"type": "crawl"},
        "item not in the catalogue": {"sku": "unheard of"},
        "duplicate": {},
    }
    parts, first = [], 0
    for reason, change in changes.items():
        rows = events.iloc[first : first + BAD_ROWS[reason]].astype(object)
        first += BAD_ROWS[reason]
        parts.append(rows.assign(**change))
    return pd.concat(parts, ignore_index=True)


def _items(rng: np.random.Generator) -> pd.DataFrame:
    number = np.arange(ITEMS)
    block = number % BLOCKS
    embedding = np.eye(BLOCKS)[block] + 0.1 * rng.standard_normal((ITEMS, BLOCKS))
    price = np.round(10 * (1 + block) * rng.lognormal(0, 0.1, ITEMS), 2)
    return pd.DataFrame(
        {
            "sku": item_ids(),
            "name": [f'The "{i}" of block {b},\n second line' if i % 9 else None for i, b in enumerate(block)],
            "shelf": [f"shelf, {b}" for b in block],
            "tags": [[f"block {b}", f"tag {i % 7}"] for i, b in enumerate(block)],
            "price": np.where(number % 10 == 3, np.nan, price),
            "embedding": [[round(float(x), 4) for x in row] for row in embedding],
        }
    )


def _write_parts(events: pd.DataFrame, folder: Path) -> None:
    folder.mkdir()
    half = len(events) // 2
    for number, part in enumerate((events[:half], events[half:])):
        part.to_parquet(folder / f"part-{number}.parquet", index=False)


_SESSIONS_TOML = """
name = "odd-sessions"
seed = 3

[data]
source = "tables"
path = {folder}

[data.events]
path = "{events}"
query = "session"
item = "sku"
time = "at"
time_unit = "{unit}"
kind = "type"
weights = {{ view = 1.0, cart = 2.0, buy = 4.0 }}
meaning = "The visitor opened, put aside or bought the article."

[data.items]
path = "{items}"
id = "sku"
title = "name"

[[features]]
name = "sku"
table = "items"
kind = "id"

[[features]]
name = "shelf"
table = "items"
kind = "category"

[[features]]
name = "tags"
table = "items"
kind = "multi_category"

[[features]]
name = "description"
table = "items"
kind = "text"
column = "name"

[[features]]
name = "price"
table = "items"
kind = "number"
missing = 0.0
log = true

[[features]]
name = "look"
table = "items"
kind = "vector"
column = "embedding"
width = 4

[[features]]
name = "channel"
table = "events"
kind = "category"

[[features]]
name = "load"
table = "events"
kind = "number"

[[features]]
name = "moment"
table = "events"
kind = "time"

[split]
validation = 0.6
ranker = 0.7
test = 0.8
history = "rolling"
"""

_ORDERED_TOML = """
name = "odd-order"
seed = 4

[data]
source = "tables"
path = {folder}
segment = "plan"

[data.events]
path = "log.csv"
query = "who"
item = "what"
order = "step"
meaning = "The user took the item."

[data.items]
id = "what"

[data.queries]
path = "users.parquet"
id = "who"

[[features]]
name = "what"
table = "items"
kind = "id"

[[features]]
name = "plan"
table = "queries"
kind = "category"

[[features]]
name = "page"
table = "events"
kind = "category"

[split]
validation = 0.6
ranker = 0.7
test = 0.8

[baselines]
windows = [400, 1600]

[trend]
windows = [200, 800, 3200]
bucket = 200
"""

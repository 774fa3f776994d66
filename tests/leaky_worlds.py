"""Small worlds for finding leaks: what could be known at the cut is planted, and so is what could not.

Users of one of `BLOCKS` groups take items of their group, some more often than others. `write` puts the tables of one
of these into a folder and returns the text of the config:

plain: groups stay as they are. new future: after the cut, users and items are dealt to groups anew, so that nothing
known before it helps. permuted items: the items of all events change places, so that only popularity is left.
shuffled future: plain up to the cut; after it, items change places.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

BLOCKS, USERS, ITEMS, EVENTS, K = 6, 360, 240, 24, 20
START, DAY, DAYS = 1_700_006_400, 86_400, 60
CUT = START + 50 * DAY
WORLDS = ("plain", "new future", "permuted items", "shuffled future")


def write(folder: Path, world: str) -> str:
    """Write events, items and users; the items' group is among their columns."""
    rng = np.random.default_rng(8)
    user = np.repeat(np.arange(USERS), EVENTS)
    time = START + rng.integers(0, DAYS * DAY, len(user))
    late = time >= CUT
    item = _taken(rng, user % BLOCKS, np.arange(ITEMS))
    other = np.random.default_rng(9)
    if world == "new future":
        item[late] = _taken(other, other.permutation(USERS)[user] % BLOCKS, other.permutation(ITEMS))[late]
    elif world == "permuted items":
        item = other.permutation(item)
    elif world == "shuffled future":
        item[late] = other.permutation(item[late])
    columns = {"user": [f"u{u:03}" for u in user], "item": [f"i{i:03}" for i in item], "time": time}
    pd.DataFrame(columns).sort_values("time", kind="stable").to_csv(folder / "events.csv", index=False)
    row = np.arange(ITEMS)
    group = [f"group {i % BLOCKS}" for i in row]
    pd.DataFrame({"item": [f"i{i:03}" for i in row], "group": group}).to_csv(folder / "items.csv", index=False)
    pd.DataFrame({"user": [f"u{u:03}" for u in range(USERS)]}).to_csv(folder / "users.csv", index=False)
    return _TOML.format(folder=json.dumps(str(folder)), k=K)


def _taken(rng: np.random.Generator, group_of_event: np.ndarray, order: np.ndarray) -> np.ndarray:
    """[n] items, nine of ten from the group of each event, the first of each group most often.

    Every `BLOCKS`th item of `order` [ITEMS] belongs to one group.
    """
    found = rng.integers(0, ITEMS, len(group_of_event))
    for group in range(BLOCKS):
        members = order[group::BLOCKS]
        own = np.flatnonzero((group_of_event == group) & (rng.random(len(group_of_event)) < 0.9))
        chance = 1 / (5 + np.arange(len(members)))
        found[own] = rng.choice(members, len(own), p=chance / chance.sum())
    return found


_TOML = """
name = "leaks"
seed = 5

[data]
source = "tables"
path = {folder}

[data.events]
path = "events.csv"
query = "user"
item = "item"
time = "time"
meaning = "taken"

[data.items]
path = "items.csv"
id = "item"

[data.queries]
path = "users.csv"
id = "user"

[[features]]
name = "item_id"
table = "items"
kind = "id"

[[features]]
name = "group"
table = "items"
kind = "category"

[split]
validation = "2023-12-20"
ranker = "2023-12-27"
test = "2024-01-04"

[baselines]
trials = 2

[towers]
embedding_dim = 16
hidden = [32]

[towers.history]
encoder = "mean"
length = 20

[train]
batch = 128
max_epochs = 15
patience = 5
learning_rate = 0.003

[index]
searcher = "exact"
candidates = {k}

[gate]
k = {k}

[ranker]
max_epochs = 2
max_requests = 500

[rerank]
pool = {k}
"""

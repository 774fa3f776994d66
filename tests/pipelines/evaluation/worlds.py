"""Random worlds in which everything can happen: items that come late, repeats, short lists, unknown values."""

import numpy as np
import pandas as pd

from pipelines.dataset import Dataset
from pipelines.evaluation.funnel import Stages
from pipelines.tables import Requests
from tests import world
from tests.pipelines.baselines.worlds import events

ITEMS, QUERIES, EVENTS, SPAN = 14, 9, 160, 40 * world.DAY


def random_dataset(rng: np.random.Generator, **changes) -> Dataset:
    """160 events of 9 queries on 14 items over 40 days; some items come late, and every query takes things again."""
    time = np.sort(rng.integers(0, SPAN, EVENTS)) + world.START
    time[0] = world.START
    rows = zip(rng.integers(0, QUERIES, EVENTS), rng.integers(0, ITEMS, EVENTS), time, strict=True)
    log = events([tuple(row) for row in rows])
    log.context.update(
        device=rng.choice(np.array(["phone", "desk", ""], object), EVENTS), moment=log.time.astype(np.int64)
    )
    late = rng.random(ITEMS) < 0.4
    available = np.where(late, world.START + rng.integers(0, SPAN, ITEMS), np.nan)
    items = world.items().iloc[:ITEMS].assign(available_from=pd.array(available, "Float64").astype("Int64"))
    items["colour"] = rng.choice(["red", "green", ""], ITEMS)
    items["genres"] = rng.choice(["a|b", "c", "", "a|a|c"], ITEMS)
    queries = world.queries().iloc[:QUERIES].assign(region=rng.choice(["north", "south", ""], QUERIES))
    changes = {"split.validation": 0.3, "split.ranker": 0.4, "split.test": 0.5} | {
        name.replace("__", "."): value for name, value in changes.items()
    }
    return world.dataset(world.config(changes), log, items, queries)


def random_stages(rng: np.random.Generator, requests: Requests, k: int, list_k: int) -> Stages:
    """Lists as the stages leave them: what is ranked is what was retrieved, and what is shown is among it."""

    def lists(width: int) -> np.ndarray:
        return np.stack([rng.permutation(ITEMS)[:width] for _ in range(len(requests))]).astype(np.int32)

    retrieved = lists(k)
    retrieved[rng.random(retrieved.shape) < 0.1] = -1
    ranked = np.stack([rng.permutation(row) for row in retrieved])
    shown = np.stack([rng.permutation(row)[:list_k] for row in ranked])
    return Stages(lists(k), retrieved, ranked, shown)

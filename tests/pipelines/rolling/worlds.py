"""Small logs to be replayed, and stand-ins for towers that say what they know."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import numpy as np
import pandas as pd

from pipelines.dataset import Dataset
from pipelines.progress import Progress
from pipelines.rolling.contenders import Contender
from pipelines.rolling.judge import judge
from pipelines.rolling.replay import Measured, answer
from pipelines.rolling.results import Replay
from pipelines.rolling.steps import steps_of
from pipelines.split import Cut
from pipelines.tables import Interactions, Requests
from tests import world
from tests.world import DAY, START

QUIET = Progress(quiet=True)


def dataset(
    events: Iterable[tuple[int, int, float]],
    test: float,
    changes: dict[str, Any] | None = None,
    available: Sequence[float] | None = None,
) -> Dataset:
    """A data set from (query, item, day) with the test cut at day `test`, and the other two within the day before.

    available: the day on which each item enters the catalogue; by default before everything.
    """
    rows = np.array(sorted(events, key=lambda event: event[2]))
    query, item = rows[:, 0].astype(np.int32), rows[:, 1].astype(np.int32)
    time = START + np.round(rows[:, 2] * DAY).astype(np.int64)
    log = Interactions(query, item, time, np.ones(len(rows), np.float32))
    n_items, n_queries = item.max() + 1 if available is None else len(available), query.max() + 1
    items = pd.DataFrame({"item": [f"i{row}" for row in range(n_items)]})
    from_day = [None] * n_items if available is None else [START + int(day * DAY) for day in available]
    items["available_from"] = pd.array(from_day, "Int64")
    split = {name: iso(test - before) for name, before in (("validation", 1), ("ranker", 0.5), ("test", 0))}
    config = world.config({"split": split, "data.segment": None, "gate": {"k": 10, "list_k": 5}} | (changes or {}))
    return world.dataset(config, log, items, pd.DataFrame({"query": [f"u{row}" for row in range(n_queries)]}))


def iso(day: float) -> str:
    """The moment of a day as a config names it."""
    return datetime.fromtimestamp(START + round(day * DAY), timezone.utc).isoformat()


def replayed(data: Dataset, contenders: list[Contender], chosen: str = "popularity 1d") -> Replay:
    """What a replay of these contenders finds."""
    return judge(data.config, Measured(data, answer(data, steps_of(data), contenders, QUIET)), chosen)


@dataclass(frozen=True)
class Recent:
    """Stands in for towers: scores the blocks (item % blocks) that a query's last `length` items are of."""

    n_items: int
    blocks: int
    trends: int
    length: int = 5

    @property
    def static(self) -> np.ndarray:
        """One-hot blocks, and no bias."""
        return np.eye(self.blocks + 1, dtype=np.float32)[np.arange(self.n_items) % self.blocks]

    def items_at(self, dataset: Dataset, cut: Cut) -> np.ndarray:
        """With trends as of the cut."""
        return np.concatenate([self.static, dataset.trend_at(cut)], axis=1)

    def of(self, requests: Requests) -> np.ndarray:
        """How often each block occurs; trends weigh nothing."""
        last = requests.history.last(self.length, fill=-1)
        counts = (last[:, :, None] % self.blocks == np.arange(self.blocks)) & (last[:, :, None] >= 0)
        rest = np.zeros((len(requests), 1 + self.trends))
        return np.concatenate([counts.sum(axis=1), rest], axis=1).astype(np.float32)

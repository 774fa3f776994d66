"""Hard negatives mined from the towers as they stand: what they would wrongly recommend."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipelines.dataset import Dataset
from pipelines.encoded import Encoded
from pipelines.evaluation.ranking import Scorer, rank
from pipelines.requests import requests_of_past
from pipelines.sequences import Sequences
from pipelines.split import Cut
from pipelines.tables import Requests
from pipelines.vectors import Vectors
from towers.negatives import Mined
from towers.retrieval import TwoTower

_MOST = 20_000  # queries an epoch: each is asked for among all items


def miner(
    dataset: Dataset, encoded: Encoded, model: TwoTower, cut: Cut, mined: Mined | None, since: int
) -> Callable[[int], None] | None:
    """What is to be called before each epoch (its number counts from 0): fills `mined` from epoch `since` (from 1) on.

    Queries with events before `cut` are asked for at the cut, other ones before each epoch where there are very many,
    and what they have not taken by then may be mined. It depends on the weights and the epoch alone, so that a resumed
    fit mines what an undisturbed one does. None where nothing is to be mined (ANCE, Xiong et al., 2021, refreshes its
    negatives in the same way).
    """
    if mined is None:
        return None
    requests = requests_of_past(Sequences.of(dataset.past(cut), dataset.n_queries), cut.moment)
    eligible, trend = dataset.eligible(cut), dataset.trend_at(cut)

    def before_epoch(number: int) -> None:
        if number + 1 >= since:
            vectors = Vectors(dataset.config, model, encoded, trend)
            asking = requests.drawn(_MOST, dataset.config.seed, number)
            mined.fill(mine(vectors.score, asking, dataset.n_queries, mined.depth, eligible))

    return before_epoch


def mine(scorer: Scorer, requests: Requests, queries: int, depth: int, eligible: np.ndarray) -> np.ndarray:
    """The `depth` items that each query has not taken and `scorer` ranks highest, [queries, depth] int32.

    Rows of queries without a request hold -1 alone, as do places for which too few items are left.
    """
    table = np.full((queries, depth), -1, np.int32)
    table[requests.query] = rank(scorer, requests, depth, eligible).items
    return table

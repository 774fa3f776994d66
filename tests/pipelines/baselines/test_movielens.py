"""Results on MovieLens 1M that are known from elsewhere, to catch a change of protocol or of a baseline."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.baselines.neighbours import ItemNeighbours
from pipelines.baselines.popularity import Popularity
from pipelines.evaluation.metrics import per_request
from pipelines.evaluation.ranking import rank
from pipelines.tables import Interactions, Ragged, Requests

DATA = Path(os.environ.get("TWINSPIRE_DATA", Path(__file__).parents[4] / "shared" / "data"))
RATINGS = DATA / "ml-1m" / "ratings.dat"
WEEK = 7 * 24 * 3600

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not RATINGS.exists(), reason=f"MovieLens 1M is not at {RATINGS} (set TWINSPIRE_DATA)"),
]


@pytest.fixture(scope="module")
def movielens() -> tuple[Interactions, Requests, int, int, int]:
    """Events before the 0.9 quantile of time, a request there for every query that goes on, counts, the cut.

    All ratings are events; items with five or more are kept, and the cut is taken over what is left.
    """
    # The publisher's separator is "::"; a single one is read many times faster, with empty fields between.
    ratings = pd.read_csv(RATINGS, sep=":", header=None, usecols=[0, 2, 6])
    ratings.columns = pd.Index(["q", "i", "t"])
    ratings = ratings.sort_values("t", kind="stable")
    ratings = ratings[ratings.groupby("i")["i"].transform("size") >= 5]
    cut = int(np.ceil(np.quantile(ratings["t"], 0.9)))
    query, queries = pd.factorize(ratings["q"], sort=True)
    item, items = pd.factorize(ratings["i"], sort=True)
    events = Interactions(
        query.astype(np.int32),
        item.astype(np.int32),
        ratings["t"].to_numpy(),
        np.ones(len(ratings), np.float32),
    )
    past, future = events.before(cut), events.between(cut, int(events.time[-1]) + 1)
    history = Ragged.from_rows(past.query, past.item, len(queries))
    history_time = Ragged.from_rows(past.query, past.time, len(queries))
    targets = Ragged.from_rows(future.query, future.item, len(queries))  # nobody rates a film twice
    asks = np.flatnonzero((history.lengths > 0) & (targets.lengths > 0))
    every = np.arange(len(queries), dtype=np.int32)
    requests = Requests(every, np.full(len(queries), cut), history, history_time, targets).take(asks)
    return past, requests, len(queries), len(items), cut


def test_protocol(movielens):
    _, requests, queries, items, cut = movielens
    assert (len(requests), queries, items, cut) == (1180, 6040, 3416, 978132488)


@pytest.mark.parametrize(
    ("baseline", "ndcg", "recall"),
    [(Popularity(WEEK, "last week"), 0.281, 0.231), (ItemNeighbours(), 0.259, 0.211)],
    ids=["popularity of the last week", "item-kNN"],
)
def test_reference(movielens, baseline, ndcg, recall):
    past, requests, queries, items, cut = movielens
    baseline.fit(past, queries, items, cut)
    ranked = rank(baseline.scores, requests, 100, np.ones(items, bool))
    assert per_request(ranked, requests.targets, 10)["ndcg"].mean() == pytest.approx(ndcg, abs=0.01)
    assert per_request(ranked, requests.targets, 100)["recall"].mean() == pytest.approx(recall, abs=0.01)

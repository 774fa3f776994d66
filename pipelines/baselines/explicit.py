"""Models of explicit ratings, by Surprise: they predict what a query would rate, and rank the catalogue by that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from pipelines.tables import Interactions, Requests

_PAIR = ["query", "item"]


@dataclass(frozen=True)
class Ratings:
    """Every known rating of a log, in order of time: columns query, item, time and rating."""

    table: pd.DataFrame

    @classmethod
    def of(cls, log: Interactions, ratings: np.ndarray) -> Ratings:
        """`ratings`: float32 [n], one for each event of `log`, NaN where it has none."""
        rows = pd.DataFrame({"query": log.query, "item": log.item, "time": log.time, "rating": ratings})
        return cls(rows.astype({"query": np.int64, "item": np.int64}).dropna())

    def given(self, events: Interactions) -> pd.DataFrame:
        """Query, item and rating of those of `events` that have one; the last of each pair."""
        asked = pd.DataFrame({"query": events.query, "item": events.item, "time": events.time}).drop_duplicates()
        found = asked.merge(self.table, on=[*_PAIR, "time"])
        return found.drop_duplicates(_PAIR, keep="last")[[*_PAIR, "rating"]]

    def to_come(self, requests: Requests) -> np.ndarray:
        """What each target of the requests was rated, the first time from the request on; [targets], NaN if never."""
        row = requests.targets.rows
        asked = pd.DataFrame(
            {"query": requests.query[row], "item": requests.targets.values, "time": requests.time[row]}
        )
        asked = asked.astype({"query": np.int64, "item": np.int64}).sort_values("time", kind="stable")
        found = pd.merge_asof(asked.reset_index(), self.table, on="time", by=_PAIR, direction="forward")
        return found.set_index("index")["rating"].sort_index().to_numpy(np.float32)


class RatingBiases:
    """Mean rating + the query's bias + the item's bias (Koren, 2010), by Surprise's alternating least squares.

    Base of the other two: a query without ratings before the fit has no bias, neither has an item. A request's
    history is not read, as it says what was taken and not how it was liked. Ratings are not clipped to their scale,
    where the best would be level.
    """

    def __init__(self, ratings: Ratings, name: str = "biases on ratings") -> None:
        self.ratings = ratings
        self.name = name

    def fit(self, interactions: Interactions, n_queries: int, n_items: int, now: int) -> None:
        """Learn from the ratings given before `now`."""
        known = self.ratings.given(interactions.before(now))
        self.mean = float(known["rating"].mean()) if len(known) else 0.0
        self.scale = (known["rating"].min(), known["rating"].max()) if len(known) else (0.0, 0.0)
        # One row more: that of queries that the fit does not know.
        self.query_bias, self.item_bias = np.zeros(n_queries + 1, np.float32), np.zeros(n_items, np.float32)
        if len(known):
            self._learn(known)

    def scores(self, requests: Requests) -> np.ndarray:
        """Predicted ratings, float32 [b, N]."""
        return self.mean + self.query_bias[self._rows(requests), None] + self.item_bias

    def _learn(self, known: pd.DataFrame) -> None:
        self._fitted(known, lambda surprise: surprise.BaselineOnly(verbose=False))

    def _fitted(self, known: pd.DataFrame, algorithm: Callable[[Any], Any]) -> tuple[Any, np.ndarray, np.ndarray]:
        """The algorithm after its fit, and the rows of the queries and items in its own order; keeps the biases."""
        import surprise  # an extra, and not everyone has it

        reader = surprise.Reader(rating_scale=self.scale)
        training = surprise.Dataset.load_from_df(known, reader).build_full_trainset()
        model = algorithm(surprise).fit(training)
        queries = np.array([training.to_raw_uid(row) for row in training.all_users()])
        items = np.array([training.to_raw_iid(row) for row in training.all_items()])
        self.query_bias[queries], self.item_bias[items] = model.bu, model.bi
        return model, queries, items

    def _rows(self, requests: Requests) -> np.ndarray:
        unknown = len(self.query_bias) - 1
        return np.where((requests.query >= 0) & (requests.query < unknown), requests.query, unknown)


class RatingSVD(RatingBiases):
    """Biases + factors of query and item, by stochastic gradient descent ("SVD" of Funk, 2006, in Surprise)."""

    def __init__(
        self,
        ratings: Ratings,
        factors: int = 100,
        epochs: int = 20,
        regularization: float = 0.02,
        seed: int = 0,
        name: str = "SVD on ratings",
    ) -> None:
        super().__init__(ratings, name)
        self.factors = factors
        self.epochs = epochs
        self.regularization = regularization
        self.seed = seed

    def fit(self, interactions: Interactions, n_queries: int, n_items: int, now: int) -> None:
        """Learn from the ratings given before `now`."""
        self.query_factors = np.zeros((n_queries + 1, self.factors), np.float32)
        self.item_factors = np.zeros((n_items, self.factors), np.float32)
        super().fit(interactions, n_queries, n_items, now)

    def scores(self, requests: Requests) -> np.ndarray:
        """Predicted ratings, float32 [b, N]."""
        return super().scores(requests) + self.query_factors[self._rows(requests)] @ self.item_factors.T

    def _learn(self, known: pd.DataFrame) -> None:
        sizes = {"n_factors": self.factors, "n_epochs": self.epochs, "reg_all": self.regularization}
        model, queries, items = self._fitted(known, lambda surprise: surprise.SVD(**sizes, random_state=self.seed))
        self.query_factors[queries], self.item_factors[items] = model.pu, model.qi


class RatingNeighbours(RatingBiases):
    """Biases + what the query's ratings of the most similar items say beyond theirs (Koren, 2010; KNNBaseline).

    Similarity is the Pearson correlation of what is left of two items' ratings after the biases, shrunk; of the
    `neighbours` most similar items that the query rated those with a positive one count. Memory: two matrices of
    rated items x rated items.
    """

    def __init__(
        self, ratings: Ratings, neighbours: int = 40, shrinkage: float = 100.0, name: str = "k-NN on ratings"
    ) -> None:
        super().__init__(ratings, name)
        self.neighbours = neighbours
        self.shrinkage = shrinkage

    def fit(self, interactions: Interactions, n_queries: int, n_items: int, now: int) -> None:
        """Learn from the ratings given before `now`."""
        self.items, self.similarity = np.zeros(0, int), np.zeros((0, 0), np.float32)
        self.residuals = sparse.csr_matrix((n_queries + 1, 0), dtype=np.float32)
        super().fit(interactions, n_queries, n_items, now)

    def scores(self, requests: Requests) -> np.ndarray:
        """Predicted ratings, float32 [b, N]."""
        scores = super().scores(requests)
        for place, row in enumerate(self._rows(requests)):
            scores[place, self.items] += self._deviation(row)
        return scores

    def _learn(self, known: pd.DataFrame) -> None:
        options = {"name": "pearson_baseline", "user_based": False, "shrinkage": self.shrinkage}
        model, _, self.items = self._fitted(
            known, lambda surprise: surprise.KNNBaseline(self.neighbours, sim_options=options, verbose=False)
        )
        self.similarity = np.maximum(model.sim, 0).astype(np.float32)
        query, item = known["query"].to_numpy(), known["item"].to_numpy()
        left = known["rating"].to_numpy() - self.mean - self.query_bias[query] - self.item_bias[item]
        place = np.zeros(len(self.item_bias), int)
        place[self.items] = np.arange(len(self.items))
        shape = (len(self.query_bias), len(self.items))
        self.residuals = sparse.csr_matrix((left.astype(np.float32), (query, place[item])), shape)

    def _deviation(self, row: int) -> np.ndarray:
        """What the ratings of a query add to the biases of each rated item, [rated items]."""
        rated = slice(*self.residuals.indptr[row : row + 2])
        similarity, left = self.similarity[:, self.residuals.indices[rated]], self.residuals.data[rated]
        if similarity.shape[1] > self.neighbours:
            closest = np.argpartition(-similarity, self.neighbours - 1, axis=1)[:, : self.neighbours]
            similarity, left = np.take_along_axis(similarity, closest, axis=1), left[closest]
        total = similarity.sum(axis=1)
        return (similarity * left).sum(axis=1) / np.where(total > 0, total, 1)


@dataclass(frozen=True)
class RatingErrors:
    """Root mean squared and mean absolute error over the `pairs` targets whose rating is known; None without any."""

    rmse: float | None
    mae: float | None
    pairs: int

    @classmethod
    def of(cls, predicted: np.ndarray, actual: np.ndarray) -> RatingErrors:
        """Errors of [targets] predictions; actual: NaN where unknown."""
        off = (predicted - actual)[~np.isnan(actual)].astype(np.float64)
        if not len(off):
            return cls(None, None, 0)
        return cls(float(np.sqrt(np.mean(off**2))), float(np.mean(np.abs(off))), len(off))


def predictions(model: RatingBiases, requests: Requests) -> np.ndarray:
    """What a fitted model expects each target of the requests to be rated, within the ratings' scale, [targets]."""
    blocks = [model.scores(part)[part.targets.rows, part.targets.values] for part in requests.blocks(512)]
    return np.clip(np.concatenate([np.zeros(0, np.float32), *blocks]), *model.scale)

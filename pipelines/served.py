"""The graph that is served, put together from a run's parts as of any cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.baselines.popularity import Popularity, SegmentPopularity
from pipelines.baselines.stage import chosen_popularity
from pipelines.dataset import Dataset, filters_of
from pipelines.index.core import load_core
from pipelines.index.item_index import ItemIndex, load_index
from pipelines.likes import read_likes
from pipelines.lists import RankScorer
from pipelines.rank import load_ranker
from pipelines.split import Cut
from pipelines.stage import Inputs
from pipelines.train import REFITTED, load_towers
from pipelines.trend_counts import trend_at
from pipelines.vectors import Vectors
from serving.recommender import Catalogue, Models, Recommender


@dataclass(frozen=True)
class Parts:
    """The fitted parts of a run; popularity fills short lists and says which items stand for what is liked; core is the
    same index behind a searcher of core operations, where one was made."""

    vectors: Vectors
    scorer: RankScorer
    index: ItemIndex
    popularity: Popularity | SegmentPopularity
    core: ItemIndex | None = None


def load_parts(dataset: Dataset, inputs: Inputs) -> Parts:
    """Read them from the stages' folders; vectors are as of the test cut."""
    vectors = load_towers(dataset, inputs["train"], REFITTED, dataset.cuts.test)
    scorer = load_ranker(dataset, vectors.encoded, inputs["rank"])
    index, popularity = load_index(inputs["index"]), chosen_popularity(dataset, inputs["baselines"])
    return Parts(vectors, scorer, index, popularity, load_core(index, inputs["index"]))


def recommender_at(dataset: Dataset, parts: Parts, cut: Cut, index: ItemIndex) -> Recommender:
    """The graph over an index as of `cut`."""
    eligible = dataset.eligible(cut)
    parts.popularity.fit(dataset.past(cut), dataset.n_queries, dataset.n_items, cut.moment)
    overall = parts.popularity.table()[-1]
    mixed = parts.vectors.mixed and parts.vectors.mixed.at(dataset, cut)
    catalogue = Catalogue(
        ids=item_ids(dataset),
        static=index.static,
        trend=index.trend,
        ranker=parts.scorer.item_side(),
        indexed=index.rows,
        popular=np.argsort(-np.where(eligible, overall, -1.0), kind="stable")[: int(eligible.sum())],
        likes=read_likes(dataset, cut),
        mixed=mixed.items if mixed else np.zeros((dataset.n_items, 0), np.float32),
        newcomer=np.concatenate([_newcomer(dataset, cut), *([mixed.of_newcomer(dataset, cut)] if mixed else [])]),
        filters=filters_of(dataset),
    )
    fitted, mixing = parts.vectors.encoded.fitted, mixed.mixing if mixed else None
    models = Models(parts.vectors.model, parts.scorer.ranker, index.searcher, fitted, mixing)
    return Recommender(dataset.config, models, catalogue)


def _newcomer(dataset: Dataset, cut: Cut) -> np.ndarray:
    """Trend columns of one more item, listed at `cut`, [t]."""
    available = np.append(dataset.available, cut.moment)
    return trend_at(dataset.trend, dataset.past(cut), available, cut.moment)[-1]


def item_ids(dataset: Dataset) -> Sequence[str]:
    """Ids of the catalogue, by row."""
    return [str(item) for item in dataset.tables.items["item"]]

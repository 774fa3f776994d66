"""What is popular as of the end of the log, as the lists that a server falls back on."""

from __future__ import annotations

import numpy as np

from pipelines.baselines.popularity import Popularity, SegmentPopularity
from pipelines.baselines.windows import window_lengths
from pipelines.dataset import Dataset, filters_of
from serving.filters import filter_values
from serving.popular import DEPTH, EVERYONE, Popular, PopularItem


def popular_lists(dataset: Dataset, popularity: Popularity | SegmentPopularity) -> Popular:
    """Everyone's list by the popularity that was chosen, and one for each segment where the config names one."""
    cut = dataset.cuts.end
    eligible = dataset.eligible(cut)
    popularity.fit(dataset.log, dataset.n_queries, dataset.n_items, cut.moment)
    rows = {EVERYONE: _best(popularity.table()[-1], eligible)}
    if dataset.segment is not None:
        by_segment = SegmentPopularity(dataset.segment, window_lengths(dataset)[-1])
        by_segment.fit(dataset.log, dataset.n_queries, dataset.n_items, cut.moment)
        shares = by_segment.table()[:-1]
        rows |= {name: _best(own, eligible) for name, own in zip(dataset.segments, shares, strict=True)}
    return _named(dataset, rows)


def _best(scores: np.ndarray, eligible: np.ndarray) -> np.ndarray:
    order = np.argsort(-np.where(eligible, scores, -1.0), kind="stable")[:DEPTH]
    return order[eligible[order]]


def _named(dataset: Dataset, rows: dict[str, np.ndarray]) -> Popular:
    table, filters = dataset.tables.items, filters_of(dataset)
    ids, titles = table["item"].astype(str).to_numpy(), table["title"].astype(str).to_numpy()
    items = {
        ids[row]: PopularItem(titles[row], {name: filter_values([texts[row]]) for name, texts in filters.items()})
        for row in np.unique(np.concatenate([*rows.values()]))
    }
    lists, data = {name: ids[order].tolist() for name, order in rows.items()}, dataset.config.data
    return Popular(data.segment, items, lists, again=data.seen_items == "keep")

"""What is known of the items at the test cut: the yardstick for what lists are like beyond their hits."""

from __future__ import annotations

import numpy as np

from configs.features import MultiCategoryFeature
from pipelines.dataset import Dataset
from pipelines.evaluation.slices import codes_of
from pipelines.evaluation.variety import ItemFacts, entry_times, query_share
from pipelines.tables import Ragged

_DAY = 86_400
_FRESH_DAYS = 30.0
_FRESH_SHARE = 0.05  # of the log before the cut, where there is no clock


def item_facts(dataset: Dataset, content: np.ndarray | None = None) -> ItemFacts:
    """Facts as of the test cut; content: [N, d] item vectors to tell how alike two items are.

    Categories are the values of all category and multi-category features of items. The vectors are the towers' own:
    they know more of items than a category does, and the towers' lists are judged by their own idea of what is alike,
    so a difference in category diversity should be looked at beside it.
    """
    past, clock = dataset.past(dataset.cuts.test), dataset.config.data.events.time is not None
    return ItemFacts(
        categories=_categories(dataset),
        embeddings=None if content is None else unit(content),
        share=query_share(past, dataset.n_items),
        entered=entry_times(dataset.available, past),
        age_unit=_DAY if clock else 1,
        recent=_FRESH_DAYS if clock else _FRESH_SHARE * (dataset.cuts.test.moment - int(past.time[0])),
    )


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of length 1; rows of zeros stay."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(length > 0, vectors / np.maximum(length, np.finfo(np.float32).tiny), 0)


def _categories(dataset: Dataset) -> Ragged | None:
    """Codes of all categories of each item, each feature's behind the last's; None where items have none."""
    rows, codes, first = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], 0
    for feature in dataset.config.on("items"):
        if feature.kind in ("category", "multi_category"):
            separator = feature.separator if isinstance(feature, MultiCategoryFeature) else None
            values, found = codes_of(dataset.tables.items[feature.name], separator)
            rows.append(found.rows)
            codes.append(first + found.values)
            first += len(values)
    if not first:
        return None
    return Ragged.from_rows(np.concatenate(rows), np.concatenate(codes), dataset.n_items)

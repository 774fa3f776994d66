"""What can be liked of the items: the values of their category and multi_category features, as of a cut."""

from __future__ import annotations

import numpy as np

from pipelines.dataset import Dataset
from pipelines.split import Cut
from serving.likes import Likes


def read_likes(dataset: Dataset, cut: Cut) -> Likes:
    """What the towers can be told that somebody likes: nothing where they read no histories."""
    if dataset.config.towers.history.encoder == "none":
        return Likes((), np.zeros((dataset.n_items, 0), np.int32))
    return likes_of(dataset, cut)


def likes_of(dataset: Dataset, cut: Cut) -> Likes:
    """The values that items in the catalogue at `cut` have; what no such item has cannot be liked."""
    rows = np.flatnonzero(dataset.eligible(cut))
    items, names = [], []
    for feature in dataset.config.on("items"):
        if feature.kind not in ("category", "multi_category"):
            continue
        values = dataset.tables.items[feature.name].to_numpy(object)[rows]
        for row, value in zip(rows, map(str, values), strict=True):
            parts = value.split(feature.separator) if feature.kind == "multi_category" else [value]
            found = {f"{feature.name}={part}" for part in parts if part}
            items += [row] * len(found)
            names += sorted(found)
    known, name = np.unique(np.array(names, str), return_inverse=True)
    return Likes(known.tolist(), _by_item(np.array(items, np.int64), name, dataset.n_items))


def _by_item(item: np.ndarray, name: np.ndarray, items: int) -> np.ndarray:
    """Names of each item, [items, most of any], -1 behind them; `item` [n] in ascending runs a feature."""
    order = np.argsort(item, kind="stable")
    item, name = item[order], name[order]
    place = np.arange(len(item)) - np.searchsorted(item, item)
    found = np.full((items, int(place.max(initial=-1)) + 1), -1, np.int32)
    found[item, place] = name
    return found

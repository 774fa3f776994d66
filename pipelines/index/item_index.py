"""What the index stage hands on: a searcher, and the vectors of the whole catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.dataset import Dataset
from pipelines.split import Cut
from pipelines.vectors import Vectors
from serving.searchers import Searcher, build_searcher, load_searcher, save_searcher


@dataclass(frozen=True)
class ItemIndex:
    """Searcher over the items that may be recommended, and the vectors of the whole catalogue.

    rows [M]: catalogue row of each place in the searcher; static [N, d + 1], trend [N, t].
    """

    searcher: Searcher
    rows: np.ndarray
    static: np.ndarray
    trend: np.ndarray


def save_index(index: ItemIndex, folder: Path) -> None:
    """Write the searcher and the vectors."""
    save_searcher(index.searcher, folder / "searcher.npz")
    np.savez(folder / "vectors.npz", rows=index.rows, static=index.static, trend=index.trend)


def load_index(folder: Path) -> ItemIndex:
    """Read what `save_index` wrote."""
    with np.load(folder / "vectors.npz") as saved:
        return ItemIndex(load_searcher(folder / "searcher.npz"), saved["rows"], saved["static"], saved["trend"])


def refreshed(index: ItemIndex, dataset: Dataset, vectors: Vectors, cut: Cut) -> ItemIndex:
    """The index as of a later cut: its items, their trends, and the layout and effort already chosen."""
    trend = dataset.trend_at(cut)
    rows = np.flatnonzero(dataset.eligible(cut)).astype(np.int32)
    searcher = build_searcher(index.searcher.kind, vectors.items_at(dataset, cut)[rows], index.searcher.layout)
    searcher.effort = index.searcher.effort
    return ItemIndex(searcher, rows, vectors.static, trend)

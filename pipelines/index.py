"""The index stage: item vectors at the test cut, and a searcher tuned to the recall that the config asks for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from configs.schema import Config
from pipelines.candidates import search
from pipelines.dataset import Dataset, load_dataset
from pipelines.progress import Progress
from pipelines.projector import write_projector
from pipelines.split import Cut
from pipelines.stage import Inputs
from pipelines.tables import Requests
from pipelines.train import REFITTED, load_towers
from pipelines.vectors import Vectors
from serving.searchers import Exact, Scann, Searcher, build_searcher, load_searcher

_HELD_OUT = 2000  # query vectors that the parameters are chosen on
_REORDER = (5, 10, 20, 40, 80)  # items scored exactly, for each candidate asked for
_LEAVES = (0.1, 0.2, 0.4, 0.8)


@dataclass(frozen=True)
class ItemIndex:
    """Searcher over the items that may be recommended, and the vectors of the whole catalogue.

    rows [M]: catalogue row of each place in the searcher; static [N, d + 1], trend [N, t].
    """

    searcher: Searcher
    rows: np.ndarray
    static: np.ndarray
    trend: np.ndarray


def index(config: Config, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Write the searcher, the vectors, the recall of each parameter setting tried, and the projector's files."""
    dataset = load_dataset(config, inputs["prepare"])
    cut = dataset.cuts.test
    vectors = load_towers(dataset, inputs["train"], REFITTED, cut)
    rows = np.flatnonzero(dataset.eligible(cut)).astype(np.int32)
    searcher = build_searcher(config.index.searcher, vectors.items[rows])
    queries = vectors.of(_held_out(dataset))
    tried = list(_tune(searcher, vectors.items[rows], queries, config.index.candidates, config.index.target_recall))
    progress.say(f"{searcher.kind} over {len(rows):,} items, recall {tried[-1]['recall']:.4f} against exact search")
    searcher.save(out / "searcher.npz")
    np.savez(out / "vectors.npz", rows=rows, static=vectors.static, trend=vectors.trend)
    (out / "tuning.json").write_text(json.dumps(tried, indent=2) + "\n")
    write_projector(dataset, vectors.static[:, : config.towers.embedding_dim], cut, out / "tensorboard")


def load_index(folder: Path) -> ItemIndex:
    """Read the index stage's folder."""
    with np.load(folder / "vectors.npz") as saved:
        return ItemIndex(load_searcher(folder / "searcher.npz"), saved["rows"], saved["static"], saved["trend"])


def refreshed(index: ItemIndex, dataset: Dataset, vectors: Vectors, cut: Cut) -> ItemIndex:
    """The index as of a later cut: its items, their trends, and the search parameters already chosen."""
    trend = dataset.trend_at(cut)
    rows = np.flatnonzero(dataset.eligible(cut)).astype(np.int32)
    items = np.concatenate([vectors.static, trend], axis=1)[rows]
    searcher = build_searcher(index.searcher.kind, items)
    if isinstance(searcher, Scann) and isinstance(index.searcher, Scann):
        searcher.reorder, searcher.leaves = index.searcher.reorder, index.searcher.leaves
    return ItemIndex(searcher, rows, vectors.static, trend)


def _held_out(dataset: Dataset) -> Requests:
    """Validation requests: their queries look like those of the test window, and nothing is judged on them."""
    requests = dataset.validation_requests
    chosen = np.random.default_rng(dataset.config.seed).permutation(len(requests))[:_HELD_OUT]
    return requests.take(np.sort(chosen))


def _tune(
    searcher: Searcher, vectors: np.ndarray, queries: np.ndarray, k: int, target: float
) -> Iterator[dict[str, float]]:
    """Set the cheapest parameters that reach `target` recall at k, yielding each setting tried."""
    if not isinstance(searcher, Scann):
        yield {"recall": 1.0}
        return
    truth = search(Exact.build(vectors), queries, k)[1]
    for searcher.reorder, searcher.leaves in ((r * k, leaf) for leaf in _LEAVES for r in _REORDER):
        recall = overlap(search(searcher, queries, k)[1], truth)
        yield {"reorder": searcher.reorder, "leaves": searcher.leaves, "recall": recall}
        if recall >= target:
            return


def overlap(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean share of each row of `truth` [Q, k] that is in the same row of `found` [Q, k]; -1 is nothing."""
    return float(overlap_by_row(found, truth).mean())


def overlap_by_row(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Share of each row of `truth` [Q, k] that is in the same row of `found`, [Q]; 1 where nothing is to be found."""
    width = np.int64(max(found.max(initial=0), truth.max(initial=0)) + 2)
    row = np.arange(len(truth))[:, None] * width
    hit = np.isin(row + truth, row + found) & (truth >= 0)
    wanted = (truth >= 0).sum(axis=1)
    return np.where(wanted > 0, hit.sum(axis=1) / np.maximum(wanted, 1), 1.0)

"""What the offline pipeline answers to a sample of the test requests: what exported graphs are held against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.candidates import retrieve
from pipelines.dataset import Dataset
from pipelines.evaluation.results import load_results
from pipelines.index.item_index import ItemIndex
from pipelines.lists import Lists, ranked, reranked
from pipelines.served import Parts
from pipelines.stage import Inputs
from pipelines.tables import Candidates, Requests

BATCH = 64  # requests that are asked at once: a searcher tries as hard for all of them as the longest history needs
_SAMPLE = 512


@dataclass(frozen=True)
class Offline:
    """R requests, their final lists [R, k] and their candidates [R, K]: rows of items, -1 for none."""

    requests: Requests
    lists: np.ndarray
    candidates: np.ndarray


def judged(dataset: Dataset, inputs: Inputs) -> Offline:
    """What the gates judged."""
    rows = _sample(dataset)
    final = load_results(inputs["rank"] / "results.npz")["final list"].items[rows]
    with np.load(inputs["gate"] / "candidates.npz") as saved:
        return Offline(dataset.test_requests.take(rows), final, saved["items"][rows])


def answered(dataset: Dataset, parts: Parts, index: ItemIndex) -> Offline:
    """The same requests answered now, from an index as of any cut."""
    config, requests = dataset.config, dataset.test_requests.take(_sample(dataset))
    found = [
        retrieve(index.searcher, index.rows, parts.vectors.of(block), block, _depth(dataset), dataset.filter_seen)
        for block in requests.blocks(BATCH)
    ]
    items, scores = (np.concatenate([getattr(one, name) for one in found]) for name in ("items", "scores"))
    candidates = Candidates(items, scores, index.searcher.kind)
    best = ranked(candidates, parts.scorer.score(Lists(requests, candidates, index.trend)))
    final = reranked(config, best, index.static[:, : config.towers.embedding_dim], config.gate.list_k)
    return Offline(requests, final.items, items)


def _depth(dataset: Dataset) -> int:
    return max(dataset.config.index.candidates, dataset.config.gate.k)


def _sample(dataset: Dataset) -> np.ndarray:
    rows = np.random.default_rng(dataset.config.seed).permutation(len(dataset.test_requests))[:_SAMPLE]
    return np.sort(rows)

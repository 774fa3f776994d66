"""Candidates as serving retrieves them: searched in the index, without what the query has seen."""

from __future__ import annotations

import numpy as np

from pipelines.tables import Candidates, Ragged, Requests
from serving import searchers
from serving.searchers import Searcher
from towers.backend import tf

_BLOCK = 512


def search(searcher: Searcher, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores and places [Q, k] for query vectors [Q, D], or [Q, m, D], in blocks."""
    blocks = [
        searchers.search(searcher, tf.constant(queries[start : start + _BLOCK]), tf.constant(k))
        for start in range(0, max(len(queries), 1), _BLOCK)  # without queries, one block without any
    ]
    return tuple(np.concatenate([block[part].numpy() for block in blocks]) for part in (0, 1))  # type: ignore[return-value]


def retrieve(
    searcher: Searcher, indexed: np.ndarray, queries: np.ndarray, requests: Requests, k: int, filter_seen: bool = True
) -> Candidates:
    """The k best items of each request, unseen ones with `filter_seen`; over-fetches by the longest history, in blocks
    of like length.

    indexed [M]: catalogue row of each place in the searcher; queries [R, D], or [R, m, D], the requests' vectors.
    """
    items = np.full((len(requests), k), -1, np.int32)
    scores = np.full((len(requests), k), -np.inf, np.float32)
    order = np.argsort(requests.history.lengths, kind="stable")
    for start in range(0, len(order), _BLOCK):
        rows = order[start : start + _BLOCK]
        block = requests.take(rows)
        longest = int(block.history.lengths.max(initial=0)) if filter_seen else 0
        found, place = search(searcher, queries[rows], k + longest)
        item = np.where(place >= 0, indexed[place], -1)
        items[rows], scores[rows] = _unseen(item, found, block.history if filter_seen else None, k)
    return Candidates(items, scores, searcher.kind)


def _unseen(item: np.ndarray, score: np.ndarray, seen: Ragged | None, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Move what was seen, or is no item, behind the rest, and keep k."""
    drop = item < 0
    if seen is not None:
        width = np.int64(max(item.max(initial=0), seen.values.max(initial=0)) + 2)
        row = np.arange(len(item))[:, None] * width
        drop |= np.isin(row + item, seen.rows * width + seen.values)
    order = np.argsort(drop, axis=1, kind="stable")[:, :k]
    dropped = np.take_along_axis(drop, order, axis=1)
    kept_items = np.where(dropped, -1, np.take_along_axis(item, order, axis=1))
    return kept_items, np.where(dropped, -np.inf, np.take_along_axis(score, order, axis=1))

"""Exact ranking of the full catalogue, by blocks of requests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipelines.tables import Candidates, Requests

Scorer = Callable[[Requests], np.ndarray]
"""A block of b requests in, the scores of all N items out, float32 [b, N]; -inf: never recommend it."""


def rank(
    scorer: Scorer,
    requests: Requests,
    k: int,
    eligible: np.ndarray,
    filter_seen: bool = True,
    block: int = 512,
    source: str = "exact",
) -> Candidates:
    """The k best items of the whole catalogue for each of R requests, best first.

    eligible: bool [N], the items that may be recommended. With `filter_seen`, the items of a request's own
    history are left out. Of equal scores the lower item row comes first, so the result depends on the scores
    alone. A list with fewer than k admissible items ends in item -1 with score -inf. About 20 * block * N
    bytes are held at a time. Raises ValueError for k < 1, and for scores that are NaN or not of shape [b, N].
    """
    if k < 1:
        raise ValueError(f"k: got {k}, expected at least 1")
    items = np.full((len(requests), k), -1, np.int32)
    scores = np.full((len(requests), k), -np.inf, np.float32)
    start = 0
    for part in requests.blocks(block):
        rows = slice(start, start + len(part))
        admitted = _admitted(scorer(part), part, eligible, filter_seen)
        best, best_scores = top_k(admitted, min(k, len(eligible)))
        items[rows, : best.shape[1]] = best
        scores[rows, : best.shape[1]] = best_scores
        start += len(part)
    return Candidates(items, scores, source)


def top_k(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns and values of the k largest scores in each row, best first, ties to the lower column.

    scores: float32 [b, N] without NaN, N >= k. Returns int32 [b, k] and float32 [b, k]; where a row has
    fewer than k scores above -inf, the rest is -1 and -inf.
    """
    rows, width = scores.shape
    if not k or not rows:
        return np.zeros((rows, k), np.int32), np.zeros((rows, k), np.float32)
    # Negated, because NumPy partitions near the front several times faster than near the back.
    threshold = -np.partition(-scores, k - 1, axis=1)[:, k - 1, None]
    chosen = scores >= threshold
    crowded = np.flatnonzero(np.count_nonzero(chosen, axis=1) > k)
    if len(crowded):
        chosen[crowded] = _without_last_ties(scores[crowded], threshold[crowded], k)
    columns = (np.flatnonzero(chosen) % width).reshape(rows, k)
    values = np.take_along_axis(scores, columns, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    columns = np.take_along_axis(columns, order, axis=1)
    values = np.take_along_axis(values, order, axis=1)
    return np.where(values == -np.inf, -1, columns).astype(np.int32), values


def _without_last_ties(scores: np.ndarray, threshold: np.ndarray, k: int) -> np.ndarray:
    """Exactly k columns of each row at or above its threshold, giving up the last of those level with it."""
    above = scores > threshold
    tied = scores == threshold
    room = k - np.count_nonzero(above, axis=1, keepdims=True)
    return above | (tied & (np.cumsum(tied, axis=1, dtype=np.int32) <= room))


def _admitted(scores: np.ndarray, requests: Requests, eligible: np.ndarray, filter_seen: bool) -> np.ndarray:
    """A copy of `scores` (a scorer may return a view of its own state) with -inf for what is not admitted."""
    expected = (len(requests), len(eligible))
    if scores.shape != expected:
        raise ValueError(f"scores: got shape {scores.shape}, expected {expected} (requests, items)")
    if np.isnan(scores).any():
        raise ValueError("scores: got NaN, expected numbers (-inf for an item that must not be recommended)")
    admitted = np.where(eligible, scores, np.float32(-np.inf)).astype(np.float32, copy=False)
    if filter_seen:
        admitted[requests.history.rows, requests.history.values] = -np.inf
    return admitted

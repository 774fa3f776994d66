"""Ranking metrics of each request, and catalogue metrics of all lists together."""

from __future__ import annotations

import numpy as np

from pipelines.tables import Candidates, Ragged


def per_request(candidates: Candidates, targets: Ragged, k: int) -> dict[str, np.ndarray]:
    """Metrics at k for each of R requests, float64 [R] each; all of them lie in [0, 1].

    A hit is a listed item that is among the request's T targets (each named once; their order is not used).

    ndcg: sum over hits of 1 / log2(1 + rank), over that of the best list: min(k, T) hits at the top
    (binary gain; Järvelin and Kekäläinen, 2002). recall: hits / T. precision: hits / k, short lists included.
    map: mean over the best list's min(k, T) hits of the precision at each hit's rank, 0 for those missed.
    mrr: 1 / rank of the first hit. hit_rate: 1 with any hit.

    A request without targets has no metric: its values are NaN. Raises ValueError when the lists hold fewer
    than k columns or are not as many as the targets' rows.
    """
    hits = _hits(candidates, targets, k)
    ranks = np.arange(1, k + 1)
    wanted = targets.lengths
    possible = np.minimum(wanted, k)
    found = hits.sum(axis=1)
    discount = 1 / np.log2(1 + ranks)
    precision_at_rank = np.cumsum(hits, axis=1) / ranks
    with np.errstate(invalid="ignore"):  # 0 / 0 of a request without targets is the NaN that is promised
        metrics = {
            "ndcg": hits @ discount / np.concatenate([[0.0], np.cumsum(discount)])[possible],
            "recall": found / wanted,
            "precision": found / k,
            "map": (precision_at_rank * hits).sum(axis=1) / possible,
            "mrr": (hits / ranks).max(axis=1),
            "hit_rate": (found > 0).astype(np.float64),
        }
    return {name: np.where(wanted > 0, values, np.nan) for name, values in metrics.items()}


def exposure(candidates: Candidates, n_items: int, k: int) -> np.ndarray:
    """How many of the lists show each item in their first k places, int64 [n_items]."""
    shown = _first(candidates, k)
    return np.bincount(shown[shown >= 0], minlength=n_items)


def coverage(candidates: Candidates, eligible: np.ndarray, k: int) -> float:
    """Share of the eligible items (bool [N]) that at least one list shows; NaN when none is eligible."""
    shown = exposure(candidates, len(eligible), k)[eligible] > 0
    return float(shown.mean()) if len(shown) else float("nan")


def gini(candidates: Candidates, eligible: np.ndarray, k: int) -> float:
    """Gini coefficient of the exposure of the eligible items (bool [N]); NaN when nothing eligible is shown.

    0: every item is shown equally often; 1 - 1/n: one of n items takes every place.
    """
    shown = np.sort(exposure(candidates, len(eligible), k)[eligible])
    n = len(shown)
    if not shown.sum():
        return float("nan")
    return float((2 * np.arange(1, n + 1) - n - 1) @ shown / (n * shown.sum()))


def _first(candidates: Candidates, k: int) -> np.ndarray:
    width = candidates.items.shape[1]
    if not 1 <= k <= width:
        raise ValueError(f"k: got {k}, expected 1 to {width}, the length of the lists")
    return candidates.items[:, :k]


def _hits(candidates: Candidates, targets: Ragged, k: int) -> np.ndarray:
    """Which places hold a target, bool [R, k]."""
    items = _first(candidates, k)
    if len(items) != len(targets):
        raise ValueError(f"targets: got {len(targets)} rows, expected {len(items)}, one for each list")
    # One number for each (request, item) pair, so that one membership test serves all requests.
    stride = 1 + max(items.max(initial=0), targets.values.max(initial=0))
    listed = np.arange(len(items), dtype=np.int64)[:, None] * stride + items
    return np.isin(listed, targets.rows * stride + targets.values) & (items >= 0)

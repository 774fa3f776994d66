"""Ranking metrics of each request, and catalogue metrics of all lists together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.tables import Candidates, Ragged

# Bytes of the membership table: small enough for the processor's cache.
_TABLE = 1 << 22


def per_request(candidates: Candidates, targets: Ragged, k: int) -> dict[str, np.ndarray]:
    """Metrics at k for each of R requests, float64 [R] each; all of them lie in [0, 1].

    A hit is a listed item that is among the request's T targets (each named once; their order is not used).
    Gain is binary: a target is worth 1 whatever its event's weight, everything else 0.

    ndcg: sum over hits of 1 / log2(1 + rank), over that of the best list: min(k, T) hits at the top
    (Järvelin and Kekäläinen, 2002). recall: hits / T. capped_recall: hits / min(k, T), which a list of k can
    bring to 1 (Liang et al., 2018). precision: hits / k, short lists included.
    map: mean over the best list's min(k, T) hits of the precision at each hit's rank, 0 for those missed.
    mrr: 1 / rank of the first hit. hit_rate: 1 with any hit.

    A request without targets has no metric: its values are NaN, for the caller to drop before taking means.
    Raises ValueError when the lists hold fewer than k columns or are not as many as the targets' rows.
    """
    return {name.removesuffix(f"@{k}"): values for name, values in at_depths(candidates, targets, [k]).items()}


def at_depths(candidates: Candidates, targets: Ragged, depths: Sequence[int]) -> dict[str, np.ndarray]:
    """What `per_request` gives at each depth k, by "name@k"; the lists are matched with the targets once."""
    for k in depths:
        first_places(candidates, k)
    deepest = max(depths, default=1)
    row, place = np.nonzero(hits(candidates, targets, deepest))
    rank, nth = place + 1, np.arange(1, len(row) + 1) - np.searchsorted(row, row)  # the request's nth hit
    gain = 1 / np.log2(1 + rank)
    ideal = np.concatenate([[0.0], np.cumsum(1 / np.log2(1 + np.arange(1, deepest + 1)))])
    wanted = targets.lengths
    metrics: dict[str, np.ndarray] = {}
    for k in depths:
        within, possible = rank <= k, np.minimum(wanted, k)
        found, gained, precisions, first = (
            np.bincount(row[within], weights[within], len(targets))
            for weights in (np.ones(len(row)), gain, nth / rank, (nth == 1) / rank)
        )
        with np.errstate(invalid="ignore"):  # 0 / 0 of a request without targets is the NaN that is promised
            values = {
                "ndcg": gained / ideal[possible],
                "recall": found / wanted,
                "capped_recall": found / possible,
                "precision": found / k,
                "map": precisions / possible,
                "mrr": first,
                "hit_rate": found > 0,
            }
        metrics |= {f"{name}@{k}": np.where(wanted > 0, value, np.nan) for name, value in values.items()}
    return metrics


def hits(candidates: Candidates, targets: Ragged, k: int) -> np.ndarray:
    """Which of the first k places hold one of the request's targets, bool [R, k]. Errors as in `per_request`."""
    items = first_places(candidates, k)
    if len(items) != len(targets):
        raise ValueError(f"targets: got {len(targets)} rows, expected {len(items)}, one for each list")
    # A column for each item, and the last one, which is never a target, for the -1 of short lists.
    width = 2 + max(items.max(initial=-1), targets.values.max(initial=-1))
    block = max(1, _TABLE // width)
    table, found = np.zeros((min(block, len(items)), width), bool), np.zeros(items.shape, bool)
    for start in range(0, len(items), block):
        part = items[start : start + block]
        starts = targets.starts[start : start + len(part) + 1]
        wanted = np.repeat(np.arange(len(part)), np.diff(starts)), targets.values[starts[0] : starts[-1]]
        table[wanted] = True
        found[start : start + block] = np.take_along_axis(table[: len(part)], part, axis=1)
        table[wanted] = False
    return found


def first_places(candidates: Candidates, k: int) -> np.ndarray:
    """Items of the first k places, [R, k]. Raises ValueError when the lists hold fewer."""
    width = candidates.items.shape[1]
    if not 1 <= k <= width:
        raise ValueError(f"k: got {k}, expected 1 to {width}, the length of the lists")
    return candidates.items[:, :k]


def exposure(candidates: Candidates, n_items: int, k: int) -> np.ndarray:
    """How many of the lists show each item in their first k places, int64 [n_items]."""
    shown = first_places(candidates, k)
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


def effective_items(candidates: Candidates, eligible: np.ndarray, k: int) -> float:
    """How many equally shown items would be as varied as the exposure of the eligible ones (bool [N]).

    exp of the Shannon entropy of the items' shares of all places (Hill, 1973): 1 when one item takes every
    place, n when all n are shown equally often; NaN when nothing eligible is shown.
    """
    shown = exposure(candidates, len(eligible), k)[eligible]
    share = shown[shown > 0] / max(shown.sum(), 1)
    return float(np.exp(-(share * np.log(share)).sum())) if len(share) else float("nan")

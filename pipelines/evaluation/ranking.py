"""Exact ranking of the full catalogue, by blocks of requests."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from pipelines.evaluation.dot_product import DotProduct, DotProductSearch
from pipelines.evaluation.top_k import top_k
from pipelines.tables import Candidates, Requests

__all__ = ["DotProduct", "Scorer", "rank", "rank_sampled", "rank_targets", "top_k"]

Scorer = Callable[[Requests], np.ndarray]
"""A block of b requests in, the scores of all N items out, float32 [b, N]; -inf: never recommend it."""
_Search = Callable[[np.ndarray, Requests], tuple[np.ndarray, np.ndarray]]
_CELLS = 1 << 20  # scores that a thread works on at a time: they should fit the processor's cache
_VECTORS = 1 << 10  # and vectors of requests that it searches for


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
    alone. A list with fewer than k admissible items ends in item -1 with score -inf. Raises ValueError for k < 1,
    and for scores that are NaN or not of shape [b, N].

    Besides what the scorer takes, about 4 * block * N bytes are held at a time and, for each processor, 20 MB. For a
    `DotProduct` over many items it is 7 bytes for each number in their vectors and, for each processor, 100 MB.
    """
    _at_least_one(k)
    if isinstance(scorer, DotProduct) and DotProductSearch.pays(eligible, k):
        search = DotProductSearch(scorer.items, eligible, filter_seen)
        return _searched(scorer, search.best, requests, k, source)
    ceiling = np.where(eligible, np.inf, -np.inf).astype(np.float32)

    def best(scores: np.ndarray, part: Requests) -> tuple[np.ndarray, np.ndarray]:
        admitted = np.minimum(_numbers(scores), ceiling).astype(np.float32, copy=False)  # a copy: it may be read-only
        if filter_seen:
            admitted[part.history.rows, part.history.values] = -np.inf
        return top_k(admitted, min(k, len(eligible)))

    return _gathered(lambda part: _all_items(scorer(part), part, eligible), best, requests, k, block, source)


def rank_targets(
    scorer: Scorer,
    requests: Requests,
    k: int,
    eligible: np.ndarray,
    filter_seen: bool = True,
    block: int = 512,
    source: str = "exact",
) -> Candidates:
    """The lists of `rank` as far as the requests' targets are in them, which is all that metrics of hits look at.

    Other places may be empty (item -1, score -inf). Where the scorer is a `DotProduct` over many items and no request
    has more than one target, no list is made: what is before the target is counted, and no further than k.
    """
    _at_least_one(k)
    one = requests.targets.lengths.max(initial=0) <= 1
    if isinstance(scorer, DotProduct) and one and DotProductSearch.pays(eligible, k):
        search = DotProductSearch(scorer.items, eligible, filter_seen)
        return _searched(scorer, search.places, requests, k, source)
    return rank(scorer, requests, k, eligible, filter_seen, block, source)


def rank_sampled(
    scorer: Scorer,
    requests: Requests,
    k: int,
    eligible: np.ndarray,
    negatives: int,
    seed: int,
    block: int = 512,
    source: str = "sampled",
) -> Candidates:
    """The k best of each request's own targets and `negatives` other items, drawn for it with equal chances.

    Drawn are items that are eligible (bool [N]), not in the request's history and not its targets, all of them where
    they are fewer than `negatives`. The draw depends on the seed and the requests' order, not on scores or `block`, so
    that contenders meet the same items. Errors, ties and short lists: as in `rank`; about 15 * block * N bytes.

    Only to reproduce published figures, never to decide: metrics on samples are inconsistent with those on the whole
    catalogue and can order two recommenders the other way round (Krichene and Rendle, KDD 2020).
    """
    _at_least_one(k)
    if negatives < 1:
        raise ValueError(f"negatives: got {negatives}, expected at least 1")
    chance = np.random.default_rng(seed)

    def some(part: Requests) -> np.ndarray:
        scores = _numbers(_all_items(scorer(part), part, eligible))
        lots = chance.random(scores.shape, np.float32)
        for out in (part.history, part.targets):
            lots[out.rows, out.values] = -np.inf
        drawn, _ = top_k(np.where(eligible, lots, np.float32(-np.inf)), min(negatives, len(eligible)))
        kept = np.zeros(scores.shape, bool)
        row, place = np.nonzero(drawn >= 0)
        kept[row, drawn[row, place]] = True
        kept[part.targets.rows, part.targets.values] = True
        return np.where(kept & eligible, scores, -np.inf).astype(np.float32, copy=False)

    return _gathered(some, lambda scores, _: top_k(scores, min(k, len(eligible))), requests, k, block, source)


def _searched(scorer: DotProduct, search: Callable[..., tuple], requests: Requests, k: int, source: str) -> Candidates:
    block = 8 * _VECTORS * _processors()
    return _gathered(scorer.queries, lambda q, part: search(q, part, k), requests, k, block, source, _VECTORS)


def _gathered(
    prepare: Callable[[Requests], np.ndarray],
    search: _Search,
    requests: Requests,
    k: int,
    block: int,
    source: str,
    rows: int | None = None,
) -> Candidates:
    """Lists found by `search` in threads, `rows` at a time of what `prepare` makes of each block in this thread."""
    items = np.full((len(requests), k), -1, np.int32)
    scores = np.full((len(requests), k), -np.inf, np.float32)
    start = 0
    with ThreadPoolExecutor(_processors()) as threads:
        for part in requests.blocks(block):
            prepared = prepare(part)
            size = rows or max(1, _CELLS // max(prepared.shape[1], 1))
            tiles = [prepared[first : first + size] for first in range(0, len(part), size)]
            for found, values in threads.map(search, tiles, part.blocks(size)):
                here = slice(start, start + len(found)), slice(found.shape[1])
                items[here], scores[here] = found, values
                start += len(found)
    return Candidates(items, scores, source)


def _at_least_one(k: int) -> None:
    if k < 1:
        raise ValueError(f"k: got {k}, expected at least 1")


def _all_items(scores: np.ndarray, requests: Requests, eligible: np.ndarray) -> np.ndarray:
    expected = (len(requests), len(eligible))
    if scores.shape != expected:
        raise ValueError(f"scores: got shape {scores.shape}, expected {expected} (requests, items)")
    return scores


def _numbers(scores: np.ndarray) -> np.ndarray:
    if np.isnan(scores).any():
        raise ValueError("scores: got NaN, expected numbers (-inf for an item that must not be recommended)")
    return scores


def _processors() -> int:
    return len(os.sched_getaffinity(0))

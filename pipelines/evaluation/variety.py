"""What a list is like beyond its hits: diversity, novelty, serendipity and freshness of each request's list.

Every metric is float64 [R], NaN where it cannot be said of a list, so that it is averaged and resampled like a
metric of accuracy once the NaN are left out. Short lists are judged by the items they hold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from pipelines.evaluation.metrics import first_places, hits
from pipelines.tables import Candidates, Interactions, Ragged, Requests

# Numbers held at a time by `per_list`: bounds its memory to some 100 MB.
_CELLS = 4_000_000


@dataclass(frozen=True)
class ItemFacts:
    """What is known of the N items of the catalogue before any request is answered; None: nothing.

    categories: N rows of category codes; an empty row is an item of unknown category.
    embeddings: float [N, d], rows of length 1, or 0 where unknown. One space for all contenders: a model judged
    by its own vectors is judged by its own idea of what is alike.
    share: [N] in (0, 1], the share of past queries that took each item (`query_share`).
    entered: int64 [N], when each item came in, on the events' time axis (`entry_times`).
    age_unit: steps of the time axis in one unit of age: 86,400 for days by the clock, 1 for order steps.
    recent: the age, in units, up to which an item is fresh.
    Raises ValueError for embeddings of other lengths.
    """

    categories: Ragged | None = None
    embeddings: np.ndarray | None = None
    share: np.ndarray | None = None
    entered: np.ndarray | None = None
    age_unit: int = 86_400
    recent: float = 30.0

    def __post_init__(self) -> None:
        if self.embeddings is not None:
            length = np.linalg.norm(self.embeddings, axis=1)
            wrong = length[(np.abs(length - 1) > 1e-3) & (length != 0)]
            if len(wrong):
                raise ValueError(f"embeddings: got a row of length {wrong[0]:.4g}, expected rows of length 1 or 0")


def query_share(past: Interactions, n_items: int) -> np.ndarray:
    """Share of the queries in `past` that took each item, smoothed, float64 [N] in (0, 1].

    (takers + 1) / (queries + 1), as if one more query had taken everything: an item that nobody took is as rare
    as log2(queries + 1) bits, one that everybody took has none.
    """
    pairs = np.unique(past.query.astype(np.int64) * n_items + past.item)
    takers = np.bincount(pairs % n_items, minlength=n_items)
    return (takers + 1) / (len(np.unique(past.query)) + 1)


def entry_times(available: np.ndarray, past: Interactions) -> np.ndarray:
    """When each item came in, int64 [N]: as `available` says where that is later than the log's start, else its
    first event in `past`; the largest int64 where neither is known (the item is new to all).

    What is older than the log reads as old as its first event: ages are then lower bounds.
    """
    entered = np.full(len(available), np.iinfo(np.int64).max)
    np.minimum.at(entered, past.item, past.time)
    return np.where(available > past.time[0], available, entered) if len(past) else available


def per_list(
    candidates: Candidates, requests: Requests, k: int, facts: ItemFacts, obvious: Candidates | None = None
) -> dict[str, np.ndarray]:
    """Every metric of the first k places that the facts allow, float64 [R] each.

    category_diversity and embedding_diversity, novelty, age and fresh_share: the functions of those names.
    serendipity: against `obvious`, the lists of an obvious recommender (a popularity) for the same requests.
    Raises ValueError when either's lists are shorter than k or not as many as the requests.
    """
    items = first_places(candidates, k)
    if len(items) != len(requests):
        raise ValueError(f"candidates: got {len(items)} lists, expected {len(requests)}, one for each request")
    parts = [
        _of_block(items[rows], requests.time[rows], facts) for rows in _blocks(len(items), _cells_of_a_list(k, facts))
    ]
    metrics = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    if obvious is not None:
        metrics["serendipity"] = serendipity(candidates, requests.targets, obvious, k)
    return metrics


def category_diversity(items: np.ndarray, categories: Ragged) -> np.ndarray:
    """Mean over the pairs of a list of 1 - Jaccard similarity of their categories, in [0, 1].

    items: [R, k], -1 where a list is short. With one category an item it is the share of pairs that differ
    (intra-list distance; Smyth and McClave, 2001; Ziegler et al., 2005). Items of unknown category are left
    out; NaN with fewer than two others.
    """
    (lists, k), listed = items.shape, items >= 0
    codes = categories.take(items[listed])
    slot = np.flatnonzero(listed)[codes.rows]
    # Categories are renumbered list by list, so that one sparse product counts what is shared within each list.
    width = 1 + int(categories.values.max(initial=0))
    column = slot // k * width + codes.values
    belongs = sparse.csr_matrix((np.ones(len(slot)), (slot, column)), shape=(lists * k, lists * width))
    belongs.data[:] = 1  # a category named twice counts once
    size = belongs.getnnz(axis=1)
    shared = (belongs @ belongs.T).tocoo()
    jaccard = shared.data / (size[shared.row] + size[shared.col] - shared.data)
    known = np.count_nonzero(size.reshape(lists, k), axis=1)
    return _mean_distance(np.bincount(shared.row // k, jaccard, lists), known)


def embedding_diversity(items: np.ndarray, embeddings: np.ndarray) -> np.ndarray:
    """Mean over the pairs of a list of 1 - cosine of their embeddings, in [0, 2].

    items: [R, k], -1 where a list is short; embeddings: [N, d], rows of length 1, or 0 where unknown: those are
    left out; NaN with fewer than two others. R x k x d numbers are held.
    """
    vectors = np.where((items >= 0)[..., None], embeddings[items], 0)
    # The cosines of all ordered pairs, an item with itself included, add up to the squared length of the sum.
    total = np.square(vectors.sum(axis=1, dtype=np.float64)).sum(axis=1)
    return np.maximum(_mean_distance(total, np.count_nonzero(vectors.any(axis=2), axis=1)), 0.0)


def novelty(items: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Mean self-information of a list's items in bits, -log2 of their `share` [N], from 0 (everybody's items).

    items: [R, k], -1 where a list is short; NaN for an empty one. Zhou et al., 2010; Vargas and Castells, 2011.
    """
    return _mean(-np.log2(share)[items], items >= 0)


def serendipity(candidates: Candidates, targets: Ragged, obvious: Candidates, k: int) -> np.ndarray:
    """Share of the k places that hold a hit which the first k places of `obvious` do not hold, in [0, 1].

    Useful and unexpected, against a primitive model (Ge, Delgado-Battenfeld and Jannach, 2010), over all k places:
    never above precision, and 0 for the obvious recommender itself. NaN for a request without targets.
    """
    found = hits(candidates, targets, k) & ~hits(candidates, _sets(first_places(obvious, k)), k)
    return np.where(targets.lengths > 0, found.sum(axis=1) / k, np.nan)


def age(items: np.ndarray, time: np.ndarray, entered: np.ndarray, unit: int) -> np.ndarray:
    """Median age of a list's items when it is shown, in units of `unit` steps of the time axis.

    items: [R, k], -1 where a list is short; time: [R]; entered: [N]. An item that has not come in yet has age
    0. NaN for an empty list.
    """
    ages, listed = np.sort(_ages(items, time, entered, unit), axis=1), np.count_nonzero(items >= 0, axis=1)
    middle = np.stack([listed - 1, listed], axis=1).clip(0) // 2
    return np.where(listed > 0, np.take_along_axis(ages, middle, axis=1).mean(axis=1), np.nan)


def fresh_share(items: np.ndarray, time: np.ndarray, entered: np.ndarray, unit: int, recent: float) -> np.ndarray:
    """Share of a list's items that are at most `recent` units old, in [0, 1]; the rest as in `age`."""
    return _mean(_ages(items, time, entered, unit) <= recent, items >= 0)


def _of_block(items: np.ndarray, time: np.ndarray, facts: ItemFacts) -> dict[str, np.ndarray]:
    metrics = {}
    if facts.categories is not None:
        metrics["category_diversity"] = category_diversity(items, facts.categories)
    if facts.embeddings is not None:
        metrics["embedding_diversity"] = embedding_diversity(items, facts.embeddings)
    if facts.share is not None:
        metrics["novelty"] = novelty(items, facts.share)
    if facts.entered is not None:
        metrics["age"] = age(items, time, facts.entered, facts.age_unit)
        metrics["fresh_share"] = fresh_share(items, time, facts.entered, facts.age_unit, facts.recent)
    return metrics


def _blocks(rows: int, cells: int) -> list[slice]:
    """Consecutive slices of `rows` lists of `cells` numbers each; one empty slice of no lists."""
    size = max(1, _CELLS // cells)
    return [slice(start, min(start + size, rows)) for start in range(0, max(rows, 1), size)]


def _cells_of_a_list(k: int, facts: ItemFacts) -> int:
    width = 0 if facts.embeddings is None else facts.embeddings.shape[1]
    return k * max(k, width) + (0 if facts.categories is None else int(facts.categories.values.max(initial=0)))


def _mean_distance(total: np.ndarray, known: np.ndarray) -> np.ndarray:
    """1 - mean similarity over pairs, from its total over ordered pairs of `known` items, each with itself too."""
    pairs = known * (known - 1)
    return np.where(pairs > 0, 1 - (total - known) / np.maximum(pairs, 1), np.nan)


def _mean(values: np.ndarray, listed: np.ndarray) -> np.ndarray:
    """Mean of the listed places of each row, NaN where there are none."""
    count = np.count_nonzero(listed, axis=1)
    return np.where(count > 0, np.where(listed, values, 0).sum(axis=1) / np.maximum(count, 1), np.nan)


def _ages(items: np.ndarray, time: np.ndarray, entered: np.ndarray, unit: int) -> np.ndarray:
    """Ages [R, k] in units; inf for the places of a short list, which sorts them last."""
    # As floats: the largest int64, an item nobody knows, would overflow.
    ages = np.maximum(time[:, None] - entered[items].astype(np.float64), 0) / unit
    return np.where(items >= 0, ages, np.inf)


def _sets(items: np.ndarray) -> Ragged:
    listed = items >= 0
    return Ragged(np.concatenate([[0], np.cumsum(listed.sum(axis=1))]), items[listed])

"""Do queries differ by more than what is popular: can their pasts tell which of two items was whose?

Two queries each took an item at about the same moment, neither item being in either past. If what is taken depends
on popularity alone, it is as likely that they took each other's item: the two assignments have the same margins, so
popularity cancels (the swap of Rasch's conditional test; Besag and Clifford, 1989). The past is asked by item-item
similarity, counted before any of these events. How often it prefers what really happened is a half without
differences between queries, whatever the popularities are and however they move; each query is asked once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from pipelines.dataset import Dataset
from pipelines.evaluation.bootstrap import Interval, interval
from pipelines.sequences import Sequences
from pipelines.tables import Interactions

PAIRS = 2_000  # asked at most, which makes an interval of 2 points either side
NEIGHBOURS = 20_000  # queries, at most, among whom similarity is counted
LENGTH = 50  # last items of a past that are asked
FEWEST = 40  # pairs below which nothing is said
_BLOCK = 500
_LEVEL = 1e-9  # what rounding makes of a preference for neither


@dataclass(frozen=True)
class Tastes:
    """right: share of the pairs in which the pasts prefer what happened, of those in which they prefer anything;
    pairs: how many were asked."""

    right: Interval
    pairs: int


def tastes(dataset: Dataset) -> Tastes:
    """Ask pairs of the events between the validation and the test cut; right.n says how many could tell."""
    cuts = dataset.cuts
    past = dataset.past(cuts.validation)
    until = Sequences.of(past.followed_by(cuts.between(dataset.log, cuts.validation, cuts.test)), dataset.n_queries)
    rng = np.random.default_rng(dataset.config.seed)
    one, other = _pairs(until, int(cuts.validation.moment), dataset.n_items, rng)
    if not len(one):
        return Tastes(interval(np.zeros(0)), 0)
    margin = _preference(until, one, other, _similar(past, dataset, rng))
    told = margin[np.abs(margin) > _LEVEL] > 0
    return Tastes(interval(told.astype(float), seed=dataset.config.seed), len(one))


def _pairs(log: Sequences, start: int, items: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Positions [P] of two events of different queries that are neighbours in time, each item new to both."""
    known, at = np.unique(_pair(log, np.arange(len(log.query)), log.item, items), return_index=True)

    def taken(position: np.ndarray, item: np.ndarray) -> np.ndarray:
        """Whether the query of each event had taken `item` before, [n]; a query's events stand in order."""
        asked = _pair(log, position, item, items)
        found = np.minimum(np.searchsorted(known, asked), len(known) - 1)
        return (known[found] == asked) & (at[found] < position)

    place = np.arange(len(log.query))
    position = np.flatnonzero((log.time >= start) & (place > log.starts[log.query]))
    position = rng.permutation(position[~taken(position, log.item[position])])
    position = position[np.unique(log.query[position], return_index=True)[1]]  # one a query
    position = position[np.argsort(log.time[position], kind="stable")]
    one, other = position[: len(position) // 2 * 2].reshape(-1, 2).T
    new = ~taken(one, log.item[other]) & ~taken(other, log.item[one])
    keep = np.flatnonzero(new & (log.item[one] != log.item[other]))
    if len(keep) > PAIRS:
        keep = np.sort(rng.choice(keep, PAIRS, replace=False))
    return one[keep], other[keep]


def _pair(log: Sequences, position: np.ndarray, item: np.ndarray, items: int) -> np.ndarray:
    return log.query[position].astype(np.int64) * items + item


def _similar(past: Interactions, dataset: Dataset, rng: np.random.Generator) -> sparse.csr_matrix:
    """Items by queries, each row of length 1, so that the product of two rows is their cosine."""
    query, item = past.query, past.item
    if dataset.n_queries > NEIGHBOURS:
        chosen = np.zeros(dataset.n_queries, bool)
        chosen[rng.choice(dataset.n_queries, NEIGHBOURS, replace=False)] = True
        query, item = query[chosen[query]], item[chosen[query]]
    shape = (dataset.n_items, dataset.n_queries)
    matrix = sparse.csr_matrix((np.ones(len(item)), (item, query)), shape)
    matrix.data[:] = 1.0  # an item taken twice is taken
    norm = np.sqrt(np.maximum(np.diff(matrix.indptr), 1))
    return sparse.csr_matrix(sparse.diags(1 / norm) @ matrix)


def _preference(log: Sequences, one: np.ndarray, other: np.ndarray, similar: sparse.csr_matrix) -> np.ndarray:
    """By how much the pasts prefer their own item to the other's, summed over both sides, [P]."""
    margin = np.zeros(len(one))
    for start in range(0, len(one), _BLOCK):
        part = slice(start, start + _BLOCK)
        own, swapped = log.item[one[part]], log.item[other[part]]
        margin[part] = _affinity(log, one[part], own, swapped, similar)
        margin[part] += _affinity(log, other[part], swapped, own, similar)
    return margin


def _affinity(
    log: Sequences, position: np.ndarray, own: np.ndarray, swapped: np.ndarray, similar: sparse.csr_matrix
) -> np.ndarray:
    """Mean similarity of the past of event `position` to `own`, less that to `swapped`, [P]."""
    begin = np.maximum(log.starts[log.query[position]], position - LENGTH)
    length = position - begin
    past = np.concatenate([log.item[low:high] for low, high in zip(begin, position, strict=True)])
    cells = (np.repeat(1 / length, length), (np.repeat(np.arange(len(position)), length), past))
    profile = sparse.csr_matrix(cells, (len(position), similar.shape[0])) @ similar
    return np.asarray(profile.multiply(similar[own] - similar[swapped]).sum(axis=1)).ravel()

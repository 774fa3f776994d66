"""The log grouped by query: what each query did, in order, and the requests that can be asked of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.tables import Interactions, Ragged, Requests


@dataclass(frozen=True)
class Sequences:
    """Interactions sorted by query, then time; events of query q are `starts[q]:starts[q + 1]`; arrays [n]."""

    starts: np.ndarray
    query: np.ndarray
    item: np.ndarray
    time: np.ndarray
    weight: np.ndarray
    context: dict[str, np.ndarray]

    @classmethod
    def of(cls, interactions: Interactions, queries: int) -> Sequences:
        """Group the log of `queries` queries."""
        order = np.argsort(interactions.query, kind="stable")
        starts = np.zeros(queries + 1, np.int64)
        np.cumsum(np.bincount(interactions.query, minlength=queries), out=starts[1:])
        return cls(
            starts,
            interactions.query[order],
            interactions.item[order],
            interactions.time[order],
            interactions.weight[order],
            {name: column[order] for name, column in interactions.context.items()},
        )

    def first_at_or_after(self, moment: int) -> np.ndarray:
        """Position of each query's first event at or after `moment`, [queries]; its end where there is none."""
        earlier = np.bincount(self.query[self.time < moment], minlength=len(self.starts) - 1)
        return self.starts[:-1] + earlier


def requests_at(sequences: Sequences, cut: int, end: int, eligible: np.ndarray) -> Requests:
    """One request for every query with a past before `cut` and something new to take in [cut, end).

    The request is made when the query first comes back, with the context of that moment; its history is as of the
    cut, its targets are all later items that are eligible ([N] bool) and not in the history.
    """
    cut_at, end_at = sequences.first_at_or_after(cut), sequences.first_at_or_after(end)
    asking = np.flatnonzero((cut_at > sequences.starts[:-1]) & (end_at > cut_at))
    return _requests(sequences, cut_at[asking], end_at[asking], eligible)


def requests_within(sequences: Sequences, start: int, end: int, eligible: np.ndarray, seed: int) -> Requests:
    """One request for every query at one of its events in [start, end) that has a past, drawn at random.

    For queries that live shorter than a window, such as sessions: histories are rolled up to the event.
    """
    first, ends = sequences.first_at_or_after(start), sequences.first_at_or_after(end)
    first = np.maximum(first, sequences.starts[:-1] + 1)  # with a past
    asking = np.flatnonzero(ends > first)
    drawn = np.random.default_rng(seed).random(len(asking))
    position = first[asking] + (drawn * (ends - first)[asking]).astype(np.int64)
    return _requests(sequences, position, ends[asking], eligible)


def requests_rolling(
    sequences: Sequences, start: int, end: int, eligible: np.ndarray, limit: int, seed: int
) -> Requests:
    """One request per event in [start, end), at most `limit` drawn at random, histories rolled up to each event.

    Targets are what the query takes from that event on, within the window, as in `requests_at`.
    """
    position = np.flatnonzero((sequences.time >= start) & (sequences.time < end))
    position = position[position > sequences.starts[sequences.query[position]]]  # with a past
    if len(position) > limit:
        position = np.sort(np.random.default_rng(seed).choice(position, limit, replace=False))
    ends = sequences.first_at_or_after(end)[sequences.query[position]]
    return _requests(sequences, position, ends, eligible)


def _requests(sequences: Sequences, position: np.ndarray, end: np.ndarray, eligible: np.ndarray) -> Requests:
    """Requests asked at event `position` [R] whose targets lie in positions [position, end)."""
    query = sequences.query[position]
    begin = sequences.starts[query]
    history = _ranges(sequences.item, begin, position)
    requests = Requests(
        query,
        sequences.time[position],
        history,
        _ranges(sequences.time, begin, position),
        _targets(_ranges(sequences.item, position, end), history, eligible),
        {name: column[position] for name, column in sequences.context.items()},
    )
    return requests.take(np.flatnonzero(requests.targets.lengths > 0))


def _targets(later: Ragged, history: Ragged, eligible: np.ndarray) -> Ragged:
    """Later items, each once, eligible, and not in the history."""
    items = np.int64(len(eligible))
    pair = later.rows * items + later.values
    first = np.zeros(len(pair), bool)
    first[np.unique(pair, return_index=True)[1]] = True
    keep = first & eligible[later.values] & ~np.isin(pair, history.rows * items + history.values)
    return Ragged.from_rows(later.rows[keep], later.values[keep], len(later))


def _ranges(values: np.ndarray, begin: np.ndarray, end: np.ndarray) -> Ragged:
    """Row r is `values[begin[r]:end[r]]`."""
    lengths = end - begin
    starts = np.zeros(len(begin) + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    within = np.arange(starts[-1]) - np.repeat(starts[:-1], lengths)
    return Ragged(starts, values[np.repeat(begin, lengths) + within])

"""The requests that can be asked of a window of the log: who asks, with which past, and what should be answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipelines.sequences import Sequences
from pipelines.tables import Interactions, Ragged, Requests

Targets = Literal["all_future", "next", "last", "event"]


@dataclass(frozen=True)
class Rules:
    """What counts as a target: items that are eligible ([N] bool) and, with `filter_seen`, not in the history.

    targets: of those, in the order taken, all, the first or the last, or at most that of the event at which is asked;
    horizon: only what is taken less than so long after the request or, where histories stand still at a cut, after
    that; None for no limit.
    """

    eligible: np.ndarray
    filter_seen: bool = True
    targets: Targets = "all_future"
    horizon: int | None = None


@dataclass(frozen=True)
class Window:
    """A window of the log in front of which lies a past, by query; arrays [queries].

    Of `sequences`, the events of query q before `first[q]` are its past, and from there up to `end[q]` its window.
    start: the moment that the window begins at.
    """

    sequences: Sequences
    first: np.ndarray
    end: np.ndarray
    start: int

    @classmethod
    def of(cls, past: Interactions, window: Interactions, queries: int, start: int) -> Window:
        """Put the events of `window` behind those of `past`, each by time."""
        sequences = Sequences.of(past.followed_by(window), queries)
        first = sequences.starts[:-1] + np.bincount(past.query, minlength=queries)
        return cls(sequences, first, sequences.starts[1:], start)

    @property
    def known(self) -> np.ndarray:
        """Which queries have a past, [queries] bool."""
        return self.first > self.sequences.starts[:-1]


def requests_at(window: Window, rules: Rules) -> Requests:
    """One request for every query with a past that comes back in the window.

    It is made when the query first comes back, with the context of that moment; its history is as of the cut.
    """
    asking = np.flatnonzero(window.known & (window.end > window.first))
    return _requests(window, window.first[asking], rules, np.full(len(asking), window.start))


def requests_within(window: Window, rules: Rules, seed: int) -> Requests:
    """One request for every query at one of its events in the window that has a past, drawn at random.

    For queries that live shorter than a window, such as sessions: histories are rolled up to the event. Where the
    last item is asked for, the request is made at the query's last event instead.
    """
    first = np.maximum(window.first, window.sequences.starts[:-1] + 1)  # with a past
    asking = np.flatnonzero(window.end > first)
    drawn = np.random.default_rng(seed).random(len(asking))
    position = first[asking] + (drawn * (window.end - first)[asking]).astype(np.int64)
    if rules.targets == "last":
        position = window.end[asking] - 1
    return _requests(window, position, rules, window.sequences.time[position])


def requests_rolling(window: Window, rules: Rules, limit: int, seed: int) -> Requests:
    """One request per event in the window that has a past, at most `limit` drawn at random, with histories rolled up
    to each event; where the last item is asked for, one at the last event of each query."""
    log = window.sequences
    place = np.arange(len(log.query))
    first = np.maximum(window.first, log.starts[:-1] + 1)[log.query]
    if rules.targets == "last":
        first = np.maximum(first, window.end[log.query] - 1)
    position = np.flatnonzero((place >= first) & (place < window.end[log.query]))
    if len(position) > limit:
        position = np.sort(np.random.default_rng(seed).choice(position, limit, replace=False))
    return _requests(window, position, rules, log.time[position])


def requests_of_newcomers(window: Window, rules: Rules) -> Requests:
    """One request for every query without a past, at its first event in the window, with an empty history."""
    asking = np.flatnonzero(~window.known & (window.end > window.first))
    return _requests(window, window.first[asking], rules, np.full(len(asking), window.start))


def requests_of_past(past: Sequences, moment: int) -> Requests:
    """One request at `moment` for every query with a past, in the context of its last event, with nothing to find."""
    query = np.flatnonzero(np.diff(past.starts))
    last = past.starts[query + 1] - 1
    return Requests(
        query.astype(np.int32),
        np.full(len(query), moment),
        Ragged(past.starts, past.item).take(query),
        Ragged(past.starts, past.time).take(query),
        Ragged(np.zeros(len(query) + 1, np.int64), np.zeros(0, np.int32)),
        {name: column[last] for name, column in past.context.items()},
    )


def _requests(window: Window, position: np.ndarray, rules: Rules, since: np.ndarray) -> Requests:
    """Requests at events `position` [R], all before being their history; the horizon counts from `since` [R]."""
    log = window.sequences
    query = log.query[position]
    begin, end = log.starts[query], position + 1 if rules.targets == "event" else window.end[query]
    if rules.horizon is not None:
        end = np.minimum(end, _first_after(log, position, end, since + rules.horizon))
    history = _ranges(log.item, begin, position)
    requests = Requests(
        query,
        log.time[position],
        history,
        _ranges(log.time, begin, position),
        _targets(_ranges(log.item, position, end), history, rules),
        {name: column[position] for name, column in log.context.items()},
    )
    return requests.take(np.flatnonzero(requests.targets.lengths > 0))


def _first_after(log: Sequences, position: np.ndarray, end: np.ndarray, moment: np.ndarray) -> np.ndarray:
    """The first of the events [position, end) of each request that is not before its `moment`, [R]."""
    later = _ranges(log.time, position, end)
    return position + np.bincount(later.rows[later.values < moment[later.rows]], minlength=len(position))


def _targets(later: Ragged, history: Ragged, rules: Rules) -> Ragged:
    """Later items, each once, that the rules admit."""
    items = np.int64(len(rules.eligible))
    pair = later.rows * items + later.values
    keep = np.zeros(len(pair), bool)
    keep[np.unique(pair, return_index=True)[1]] = True
    keep &= rules.eligible[later.values]
    if rules.filter_seen:
        keep &= ~np.isin(pair, history.rows * items + history.values)
    found = Ragged.from_rows(later.rows[keep], later.values[keep], len(later))
    return found.only(rules.targets == "last") if rules.targets in ("next", "last") else found


def _ranges(values: np.ndarray, begin: np.ndarray, end: np.ndarray) -> Ragged:
    """Row r is `values[begin[r]:end[r]]`."""
    lengths = np.maximum(end - begin, 0)
    starts = np.zeros(len(begin) + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    within = np.arange(starts[-1]) - np.repeat(starts[:-1], lengths)
    return Ragged(starts, values[np.repeat(begin, lengths) + within])

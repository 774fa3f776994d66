"""The border types between stages: interactions, requests and ragged item lists, as plain arrays.

Everything inside the pipelines speaks in row numbers: `query` is a row of the query table, `item` a row of
the item table (the catalogue). Strings live in those two tables and nowhere else. `time` is an int64 on one
axis: unix seconds where the data has a clock, the order number where it has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths, flattened: row r is `values[starts[r]:starts[r + 1]]`.

    `starts` has shape [rows + 1] (int64), `values` any length.
    """

    starts: np.ndarray
    values: np.ndarray

    @classmethod
    def from_rows(cls, row: np.ndarray, values: np.ndarray, rows: int) -> Ragged:
        """Group `values` [n] by `row` [n], keeping the given order within each of `rows` rows."""
        order = np.argsort(row, kind="stable")
        starts = np.zeros(rows + 1, np.int64)
        np.cumsum(np.bincount(row, minlength=rows), out=starts[1:])
        return cls(starts, values[order])

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, row: int) -> np.ndarray:
        return self.values[self.starts[row] : self.starts[row + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """Length of each row, [rows]."""
        return np.diff(self.starts)

    @property
    def rows(self) -> np.ndarray:
        """The row of each value, [len(values)]."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def take(self, rows: np.ndarray) -> Ragged:
        """The named rows, in the named order."""
        lengths = self.lengths[rows]
        starts = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(lengths, out=starts[1:])
        within = np.arange(starts[-1]) - np.repeat(starts[:-1], lengths)
        return Ragged(starts, self.values[np.repeat(self.starts[rows], lengths) + within])

    def only(self, last: bool = False) -> Ragged:
        """The first value of each row, or the last; empty rows stay empty."""
        there = self.lengths > 0
        starts = np.zeros(len(self) + 1, np.int64)
        np.cumsum(there, out=starts[1:])
        return Ragged(starts, self.values[(self.starts[1:] - 1 if last else self.starts[:-1])[there]])

    def last(self, length: int, fill: int) -> np.ndarray:
        """The last `length` values of each row, right-aligned and filled on the left, [rows, length]."""
        position = self.starts[1:, None] - np.arange(length, 0, -1)[None, :]
        inside = position >= self.starts[:-1, None]
        if not len(self.values):
            return np.full(position.shape, fill, self.values.dtype)
        return np.where(inside, self.values[np.where(inside, position, 0)], fill)


@dataclass(frozen=True)
class Interactions:
    """Observed events, sorted by time and, within a moment, by their order in the source; all arrays [n].

    query, item: int32 rows; time: int64; weight: float32, the strength of the event's kind;
    context: request-context columns by feature name, each [n]; value: float32, what each event was worth, or None.
    Targets count by weight x value, popularity by weight alone: a few dear items are not what many people take.
    """

    query: np.ndarray
    item: np.ndarray
    time: np.ndarray
    weight: np.ndarray
    context: dict[str, np.ndarray] = field(default_factory=dict)
    value: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.time)

    def between(self, start: int, end: int) -> Interactions:
        """Events with start <= time < end."""
        first, last = np.searchsorted(self.time, [start, end])
        return self.take(slice(int(first), int(last)))

    def before(self, moment: int) -> Interactions:
        """Events strictly earlier than `moment`."""
        return self.between(int(np.iinfo(np.int64).min), moment)

    def followed_by(self, later: Interactions) -> Interactions:
        """These events and then `later` ones, which have the same context columns."""
        context = {name: np.concatenate([column, later.context[name]]) for name, column in self.context.items()}
        return Interactions(
            np.concatenate([self.query, later.query]),
            np.concatenate([self.item, later.item]),
            np.concatenate([self.time, later.time]),
            np.concatenate([self.weight, later.weight]),
            context,
            None if self.value is None or later.value is None else np.concatenate([self.value, later.value]),
        )

    def take(self, rows: np.ndarray | slice) -> Interactions:
        """The named events; they should come in order of time."""
        context = {name: column[rows] for name, column in self.context.items()}
        value = None if self.value is None else self.value[rows]
        return Interactions(self.query[rows], self.item[rows], self.time[rows], self.weight[rows], context, value)


@dataclass(frozen=True)
class Requests:
    """What a recommender is asked: who asks, when, in which context, with which past. R requests.

    query, time: [R]; history, history_time: everything the query did before the request, oldest first;
    targets: what it went on to take (each item once, first taken first), empty where that is unknown;
    context: request-context columns by feature name, each [R].
    """

    query: np.ndarray
    time: np.ndarray
    history: Ragged
    history_time: Ragged
    targets: Ragged
    context: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.query)

    def take(self, rows: np.ndarray) -> Requests:
        """The named requests, in the named order."""
        return Requests(
            self.query[rows],
            self.time[rows],
            self.history.take(rows),
            self.history_time.take(rows),
            self.targets.take(rows),
            {name: column[rows] for name, column in self.context.items()},
        )

    def drawn(self, most: int, *seed: int) -> Requests:
        """At most so many of them, drawn evenly, in their own order."""
        if len(self) <= most:
            return self
        return self.take(np.sort(np.random.default_rng(seed).permutation(len(self))[:most]))

    def blocks(self, size: int) -> Iterator[Requests]:
        """Consecutive blocks of at most `size` requests."""
        for start in range(0, len(self), size):
            yield self.take(np.arange(start, min(start + size, len(self))))


@dataclass(frozen=True)
class Candidates:
    """Ranked items for R requests: items [R, k] int32 rows of the catalogue (-1 where the list is short),
    scores [R, k] float32, best first; source names who retrieved them."""

    items: np.ndarray
    scores: np.ndarray
    source: str

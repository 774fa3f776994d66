"""Who may be shown which items: each filter is a column of the item table, each item has any number of its values.

A request names values of a filter, and only items with one of them may be shown to it; one that names none is shown
all. Values are known by their fingerprints, so that new ones can come after export.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from configs.data import FILTER, SEPARATOR
from serving.sets import contains
from towers.backend import take, tf
from towers.lookup import fingerprints, nearest

_MOST = 256  # values that an item may have of one filter: every item takes as much room as the one with most
ALL = 2**31 - 1  # more items than any catalogue has

Texts = Sequence[str] | np.ndarray
Wanted = Mapping[str, tf.Tensor]  # codes by filter, [B, any], -1 for none


@dataclass(frozen=True)
class Column:
    """The values of N items as codes: of_items [N, m] int64, -1 where an item has fewer than m; and the other way
    round: known [V], all codes in ascending order, and rows, the items that have each, from starts[v] to starts[v + 1].
    """

    of_items: np.ndarray
    known: np.ndarray
    starts: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, of_items: np.ndarray) -> Column:
        """The column of these codes."""
        row, place = np.nonzero(of_items >= 0)
        code = of_items[row, place]
        order = np.argsort(code, kind="stable")
        known, counts = np.unique(code, return_counts=True)
        if not len(known):
            known, counts = np.array([-1]), np.array([0])  # so that there is a place to look at
        starts = np.append(0, np.cumsum(counts)).astype(np.int32)
        return cls(of_items, known, starts, row[order].astype(np.int32))


class Filters(tf.Module):
    """The values of N items, by filter."""

    def __init__(self, values: Mapping[str, Texts]) -> None:
        """values: {filter: [N] texts}, several values joined by `SEPARATOR`. Raises: ValueError as `column`."""
        super().__init__()
        columns = {name: column(name, texts) for name, texts in values.items()}
        self.of_items = {name: _variable(one.of_items) for name, one in columns.items()}
        self.known = {name: _variable(one.known) for name, one in columns.items()}
        self.starts = {name: _variable(one.starts) for name, one in columns.items()}
        self.rows = {name: _variable(one.rows) for name, one in columns.items()}

    @property
    def names(self) -> list[str]:
        """The filters."""
        return list(self.of_items)

    def read(self, inputs: Mapping[str, tf.Tensor]) -> Wanted:
        """What a batch asks for, by the inputs filter_NAME [B, any]."""
        return {name: codes(inputs[FILTER + name]) for name in self.names}

    def allow(self, rows: tf.Tensor, wanted: Wanted) -> tf.Tensor:
        """Which of rows [B, n] have a wanted value of every filter, [B, n] bool; rows below 0 are read as row 0."""
        rows, allowed = tf.maximum(rows, 0), tf.ones(tf.shape(rows), tf.bool)
        for name, asked in wanted.items():
            kept = partial(self._kept, name, asked, rows, allowed)
            allowed = tf.cond(tf.reduce_any(asked >= 0), kept, lambda allowed=allowed: allowed)
        return allowed

    def _kept(self, name: str, asked: tf.Tensor, rows: tf.Tensor, allowed: tf.Tensor) -> tf.Tensor:
        """Which of the rows [B, n] allowed so far one more filter keeps."""
        values = take(self.of_items[name], rows)  # [B, n, m]
        flat = tf.reshape(values, [tf.shape(rows)[0], tf.shape(rows)[1] * tf.shape(values)[2]])
        one_of = tf.reduce_any(tf.reshape(contains(asked, flat), tf.shape(values)), axis=2)
        return allowed & (one_of | ~_asks(asked)[:, None])

    def left(self, wanted: Wanted) -> tuple[tf.Tensor, tf.Tensor]:
        """About which share of the items survive, [B] or []: exact for one filter whose items have one value each; and
        at most how many, those that the narrowest filter leaves; 1 and `ALL` without any."""
        share, fewest = tf.constant(1.0), tf.constant(ALL)
        for name, count in self._counts(wanted).items():
            items = tf.cast(tf.maximum(tf.shape(self.of_items[name])[0], 1), tf.float32)
            share *= tf.minimum(tf.cast(count, tf.float32) / items, 1.0)
            fewest = tf.minimum(fewest, count)
        return share, fewest

    def survivors(self, wanted: Wanted, items: tf.Tensor) -> tuple[tf.Tensor, Wanted]:
        """Rows that the narrowest filter leaves, [n], each once, or all `items`; and what the other filters are still
        asked for; wanted [any] of one request."""
        counts = self._counts(wanted).values()
        branches = [lambda name=name, asked=asked: self._having(name, asked) for name, asked in wanted.items()]
        narrowest = tf.argmin([*counts, ALL - 1], output_type=tf.int32)
        nothing = tf.constant(-1, tf.int64)
        rest = {
            name: tf.where(narrowest == place, nothing, asked) for place, (name, asked) in enumerate(wanted.items())
        }
        return tf.switch_case(narrowest, [*branches, lambda: tf.range(items)]), rest

    def _having(self, name: str, asked: tf.Tensor) -> tf.Tensor:
        start, end = self._span(name, tf.unique(tf.boolean_mask(asked, asked >= 0))[0])
        rows = take(self.rows[name], tf.ragged.range(start, end).flat_values)
        repeated = (tf.size(start) > 1) & (tf.shape(self.of_items[name])[1] > 1)  # one may have several values
        return tf.cond(repeated, lambda: tf.unique(rows)[0], lambda: rows)

    def _counts(self, wanted: Wanted) -> dict[str, tf.Tensor]:
        """How many items have each of the values asked for, summed, [B] or [], by filter; `ALL` where it asks none."""
        counts = {}
        for name, asked in wanted.items():
            start, end = self._span(name, tf.reshape(asked, [-1]))
            having = tf.reduce_sum(tf.reshape(end - start, tf.shape(asked)), axis=-1)
            counts[name] = tf.where(_asks(asked), having, ALL)
        return counts

    def _span(self, name: str, asked: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Where in `rows` the items with each of the values [n] stand; nowhere for values that no item has."""
        place = nearest(self.known[name], asked)
        there = tf.cast((take(self.known[name], place) == asked) & (asked >= 0), tf.int32)
        start, end = take(self.starts[name], place), take(self.starts[name], place + 1)
        return start * there, end * there


def column(name: str, texts: Texts) -> Column:
    """One filter's values of N items. Raises: ValueError when an item has too many, or two values the same code."""
    place: dict[str, int] = {}
    of_item = np.array([place.setdefault(str(text), len(place)) for text in texts], np.int64)
    split = [[part for part in dict.fromkeys(text.split(SEPARATOR)) if part] for text in place]
    longest = max(map(len, split), default=0)
    if longest > _MOST:
        raise ValueError(f"filter {name!r}: found an item with {longest:,} values, expected at most {_MOST}")
    code = distinct_codes(name, filter_values(place))
    table = np.full((len(split), max(longest, 1)), -1, np.int64)
    for row, parts in enumerate(split):
        table[row, : len(parts)] = [code[part] for part in parts]
    return Column.of(table[of_item])


def filter_values(texts: Iterable[str]) -> list[str]:
    """All values in texts of them, in order."""
    return sorted({part for text in set(texts) for part in text.split(SEPARATOR)} - {""})


def distinct_codes(name: str, values: list[str]) -> dict[str, int]:
    """The code of each value of a filter. Raises: ValueError when two have the same."""
    found: dict[int, str] = {}
    for value, number in zip(values, codes(tf.constant(values, tf.string)).numpy().tolist(), strict=True):
        if number in found:
            raise ValueError(f"filter {name!r}: {found[number]!r} and {value!r} have the same code; rename one of them")
        found[number] = value
    return {value: number for number, value in found.items()}


def codes(values: tf.Tensor) -> tf.Tensor:
    """Codes of values, int64 of the same shape; -1 for ""."""
    return tf.where(values == "", tf.constant(-1, tf.int64), fingerprints(values))


def _asks(asked: tf.Tensor) -> tf.Tensor:
    return tf.reduce_any(asked >= 0, axis=-1)


def _variable(value: np.ndarray) -> tf.Variable:
    return tf.Variable(value, trainable=False, shape=[None] * value.ndim)

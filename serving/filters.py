"""Who may be shown which items: each filter is a column of the item table, each item has any number of its values.

A request names values of a filter, and only items with one of them may be shown to it; one that names none is shown
all. Values are known by 31 bits of a fingerprint, so that new ones can come after export.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from configs.data import FILTER, SEPARATOR
from serving.ids import nearest
from towers.backend import tf

_CODES = 2**31 - 1

Texts = Sequence[str] | np.ndarray
Wanted = Mapping[str, tf.Tensor]  # codes by filter, [B, any], -1 for none


@dataclass(frozen=True)
class Column:
    """The values of N items as codes: of_items [N, m] int32, -1 where an item has fewer than m; known [V], all codes
    in ascending order, and shares [V], the share of items that have each."""

    of_items: np.ndarray
    known: np.ndarray
    shares: np.ndarray

    @classmethod
    def of(cls, of_items: np.ndarray) -> Column:
        """The column of these codes."""
        known, counts = np.unique(of_items[of_items >= 0], return_counts=True)
        if not len(known):
            known, counts = np.array([-1], np.int32), np.array([0])  # so that there is a place to look at
        return cls(of_items, known, (counts / max(len(of_items), 1)).astype(np.float32))


class Filters(tf.Module):
    """The values of N items, by filter."""

    def __init__(self, values: Mapping[str, Texts]) -> None:
        """values: {filter: [N] texts}, several values joined by `SEPARATOR`. Raises: ValueError as `column`."""
        super().__init__()
        columns = {name: column(name, texts) for name, texts in values.items()}
        self.of_items = {name: _variable(one.of_items) for name, one in columns.items()}
        self.known = {name: _variable(one.known) for name, one in columns.items()}
        self.shares = {name: _variable(one.shares) for name, one in columns.items()}

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
            one_of = _among(tf.gather(self.of_items[name], rows), asked[:, None, None, :])
            allowed &= one_of | ~_asks(asked)[:, None]
        return allowed

    def survivors(self, wanted: Wanted) -> tf.Tensor:
        """Which of all items have a wanted value of every filter; wanted [any] of one request; [N] bool, or a scalar
        where there is no filter."""
        allowed = tf.constant(True)
        for name, asked in wanted.items():
            allowed &= _among(self.of_items[name], asked) | ~_asks(asked)
        return allowed

    def share(self, wanted: Wanted) -> tf.Tensor:
        """About which share of the items survive, [B] or []: exact for one filter whose items have one value each."""
        share = tf.constant(1.0)
        for name, asked in wanted.items():
            place = tf.reshape(nearest(self.known[name], tf.reshape(asked, [-1])), tf.shape(asked))
            there = tf.gather(self.known[name], place) == asked
            some = tf.reduce_sum(tf.where(there, tf.gather(self.shares[name], place), 0.0), axis=-1)
            share *= tf.where(_asks(asked), tf.minimum(some, 1.0), 1.0)
        return share


def column(name: str, texts: Texts) -> Column:
    """One filter's values of N items. Raises: ValueError when two values have the same code."""
    distinct, of_item = np.unique(np.asarray(texts, object).astype(str), return_inverse=True)
    split = [[part for part in dict.fromkeys(text.split(SEPARATOR)) if part] for text in distinct]
    code = distinct_codes(name, filter_values(distinct))
    table = np.full((len(split), max(map(len, split), default=1) or 1), -1, np.int32)
    for row, parts in enumerate(split):
        table[row, : len(parts)] = [code[part] for part in parts]
    return Column.of(table[of_item])


def filter_values(texts: Texts) -> list[str]:
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
    """Codes of values, int32 of the same shape; -1 for ""."""
    return tf.where(values == "", -1, tf.cast(tf.strings.to_hash_bucket_fast(values, _CODES), tf.int32))


def _among(of_items: tf.Tensor, asked: tf.Tensor) -> tf.Tensor:
    """Whether any code of [..., m] is one of [..., r], or of [r]; -1 is none."""
    return tf.reduce_any((of_items[..., None] == asked) & (of_items >= 0)[..., None], axis=[-2, -1])


def _asks(asked: tf.Tensor) -> tf.Tensor:
    return tf.reduce_any(asked >= 0, axis=-1)


def _variable(value: np.ndarray) -> tf.Variable:
    return tf.Variable(value, trainable=False, shape=[None] * value.ndim)

"""The contract of every searcher."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from towers.backend import tf

USUAL = 100  # items asked for, unless an effort says otherwise
GROWTH = 0.6  # of leaves with what is asked for, unless an effort says otherwise
IN_PLACE = 6  # vectors scored where they lie in the time that one takes which is copied first
NOTHING = -1  # row of a place that holds no item


class Searcher(Protocol):
    """Maximum inner product search over N vectors of D dimensions.

    Two things trade time for recall, and `pipelines.index` measures both: the layout, fixed when a searcher is built,
    and the effort of each search, which may be set at any time before export. Exact search has neither. An effort is
    right for the k that it names, and grows with what a call asks for beyond it: how fast, `pipelines.index` measures
    where there are filters.
    """

    kind: str
    layout_type: type | None
    size: int  # when it was built; the graph reads how many there are, for an index may be replaced after export
    layout: Any  # a `layout_type`, a dataclass of numbers, or None
    effort: Any  # dataclass of numbers, or None

    def search(self, queries: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Best `k` (scalar int32) of queries [B, D]: scores [B, k] best first, and rows [B, k] int32.

        Where fewer than k items are found, rows end in `NOTHING` and scores in -inf; an item is found once.
        """

    def cost(self, k: tf.Tensor) -> tf.Tensor:
        """About what a search of one query for k, int32 of any shape, takes: so many vectors copied from here and there
        and scored, float32; see `IN_PLACE`."""

    def efforts(self, k: int) -> Sequence[Sequence[Any]]:
        """Ladders of efforts worth trying for k items: along each, time and recall rise."""

    def layouts(self) -> Sequence[Any]:
        """Other layouts worth trying, the most promising first: each changes one number of this one's."""

    @property
    def parts(self) -> Mapping[str, tf.Variable]:
        """The variables that hold the index, by their path from the searcher: of any size in the graph."""

    @property
    def nbytes(self) -> int:
        """Bytes that a search reads from: the size in memory and, nearly, on disk."""

    def release(self) -> None:
        """Give back what a search made beside the variables; it stays as long as the process otherwise."""

    @property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """Everything that a search needs, by name: what the variables hold as it is, not copied."""

    @classmethod
    def build(cls, vectors: np.ndarray, layout: Any = None) -> Searcher:
        """Build over `vectors` [N, D] float32, in the kind's own layout for that size unless one is given."""

    @classmethod
    def restore(cls, parts: Mapping[str, np.ndarray]) -> Searcher:
        """Rebuild from `arrays`, of which each is read once."""


def held(variable: tf.Variable) -> np.ndarray:
    """What a variable of numbers holds, not copied."""
    return np.asarray(memoryview(variable.read_value()))


def pad(scores: tf.Tensor, rows: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Scores and rows [B, n <= k] as [B, k], ending in places without an item."""
    missing = [[0, 0], [0, k - tf.shape(scores)[1]]]
    return tf.pad(scores, missing, constant_values=-np.inf), tf.pad(rows, missing, constant_values=NOTHING)


def deeper(k: tf.Tensor, than: int) -> tf.Tensor:
    """How many times as much as `than` a call asks for with k: 1, 2, 4, ..., int32."""
    return doubled(k, than) // than


def more_leaves(leaves: int, k: tf.Tensor, than: int, growth: float) -> tf.Tensor:
    """Leaves to search for k items, of which so many hold the best `than`: more by a power of how much more is asked
    for."""
    return tf.cast(tf.math.ceil(leaves * tf.cast(deeper(k, than), tf.float32) ** growth), tf.int32)


def doubled(least: tf.Tensor, start: int) -> tf.Tensor:
    """The first of start, 2 start, 4 start, ... that is at least `least`: few steps, so that batches rarely differ."""
    times = tf.math.ceil(tf.math.log(tf.maximum(tf.cast(least, tf.float32) / start, 1.0)) / math.log(2.0))
    return start * tf.bitwise.left_shift(1, tf.cast(times, tf.int32))

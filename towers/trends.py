"""Trends of items at moments, point-in-time popularity and age: from what `pipelines.trend_counts` counts in the log.

A popularity is the log of what an item took over what an average item took in the time that it was listed, shrunk
towards what is expected before anything is seen: an observed rate over an expected one with a gamma prior (DuMouchel,
"Bayesian data mining in large frequency tables", 1999). An item just listed therefore trends like an average one, and
not far below the items that nobody wants; how newcomers differ from that is for the towers to learn from the age.

Of W spans the first begins with all time, and each is longer than the next: what it says is expected of that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from towers.backend import tf

Array = Any  # of numpy, or a tensor
_BLOCK = 1 << 21  # cells of a table that are worked out at once


@dataclass(frozen=True)
class Moments:
    """What moments say to all items, whatever the shape of the moments.

    begun [W, ...] and now [...]: float64 weights of all events before each span that ends then, and before its end;
    moment [...]: int64 times; there [...]: float64, how many items were listed, at least 1.
    """

    begun: Array
    now: Array
    moment: Array
    there: Array

    def map(self, change: Any) -> Moments:
        """The same with every field changed; `begun` span by span."""
        begun = tf.stack([change(span) for span in tf.unstack(tf.convert_to_tensor(self.begun))])
        return Moments(begun, *(change(tf.convert_to_tensor(one)) for one in (self.now, self.moment, self.there)))


@dataclass(frozen=True)
class Listing:
    """When items were listed, int64, and the weight of all events before that, float64; both of any shape."""

    listed: Array
    unlisted: Array

    def map(self, change: Any) -> Listing:
        """The same with both fields changed."""
        return Listing(*(change(tf.convert_to_tensor(one)) for one in (self.listed, self.unlisted)))


def trend_columns(taken: Sequence[Array], moments: Moments, listing: Listing, prior: float, unit: int) -> tf.Tensor:
    """[..., W + 1] float32: popularity in each span, and age in `unit`s, of items at moments whose shapes broadcast.

    taken: what items took in each span, [...], of a float type in which the rest is reckoned. prior: how many events of
    an average item count as much as what was expected.
    """
    taken = [tf.convert_to_tensor(one) for one in taken]
    dtype, rate, columns = taken[0].dtype, tf.ones_like(taken[0]), []
    for counted, begun in zip(taken, tf.unstack(tf.convert_to_tensor(moments.begun)), strict=True):
        # float32 would lose the difference of sums over a long log
        passed = tf.cast(tf.maximum(moments.now - tf.maximum(begun, listing.unlisted), 0), dtype)
        rate = (counted + prior * rate) / (passed / tf.cast(moments.there, dtype) + prior)
        columns.append(tf.math.log(rate))
    age = tf.cast(tf.maximum(moments.moment - listing.listed, 0), dtype)
    return tf.cast(tf.stack([*columns, tf.math.log1p(age / unit)], axis=-1), tf.float32)


class Trends(Protocol):
    """Trends of N items at the starts of B buckets of time, t columns each."""

    @property
    def columns(self) -> int:
        """Their number t."""

    def of(self, items: tf.Tensor | None) -> tf.Tensor:
        """Trends of `items` [C], or of all, in every bucket, [B, C, t] float32."""

    def tables(self, bucket: tf.Tensor, items: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
        """Trends of `items` [C], or of all, in buckets that hold all of `bucket` [Q], [G, C, t], and the place of each
        of these among them, [Q]."""

    def at(self, bucket: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """Those of one item in one bucket each, both [Q], [Q, t] float32."""

    def on_device(self) -> Trends:
        """The same with tensors: traced into a step as arrays, what it holds would be copied into the graph."""


@dataclass(frozen=True)
class TrendTable:
    """Trends worked out beforehand, [B, N, t] float32: where all items are compared at every step."""

    table: Array

    @property
    def columns(self) -> int:
        """Their number t."""
        return int(self.table.shape[2])

    def of(self, items: tf.Tensor | None) -> tf.Tensor:
        """As `Trends` says."""
        return self.table if items is None else tf.gather(self.table, items, axis=1)

    def tables(self, bucket: tf.Tensor, items: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
        """As `Trends` says: all buckets."""
        return self.of(items), bucket

    def at(self, bucket: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """As `Trends` says."""
        return tf.gather_nd(self.table, tf.stack([bucket, items], axis=1))

    def on_device(self) -> TrendTable:
        """As `Trends` says."""
        return TrendTable(tf.constant(self.table))


@dataclass(frozen=True)
class TrendCounts:
    """Trends worked out as they are asked for, in memory that grows with the log and not with items times buckets.

    What items took, sorted by item and bucket, at most once each: `first` [N + 1] int64, where an item's entries begin;
    bucket [E] int32 and taken [E] float32 of each entry. widths: the spans but the first, in buckets; moments [B] are
    the buckets' starts; listing [N].
    """

    first: Array
    bucket: Array
    taken: Array
    widths: tuple[int, ...]
    moments: Moments
    listing: Listing
    prior: float
    unit: int

    @property
    def columns(self) -> int:
        """Their number t."""
        return len(self.widths) + 2

    @cached_property
    def _buckets(self) -> int:
        return int(self.moments.now.shape[0])

    def of(self, items: tf.Tensor | None) -> tf.Tensor:
        """As `Trends` says."""
        return self._in(tf.range(self._buckets), items)

    def tables(self, bucket: tf.Tensor, items: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
        """As `Trends` says: the buckets asked for and no other."""
        buckets, place = tf.unique(bucket)
        return self._in(buckets, items), place

    def _in(self, buckets: tf.Tensor, items: tf.Tensor | None) -> tf.Tensor:
        """Trends of `items` in these buckets [G] alone, [G, C, t]."""
        items = tf.range(tf.size(self.listing.listed)) if items is None else items
        place, entry = self._entries(items)
        cell = tf.stack([tf.gather(self.bucket, entry), place], axis=1)
        taken = tf.scatter_nd(cell, tf.gather(self.taken, entry), [self._buckets, tf.size(items)])
        before = tf.cumsum(tf.pad(taken, [[1, 0], [0, 0]]))  # [B + 1, C]: before each bucket, and in all
        now = tf.gather(before, buckets)
        earlier = (tf.gather(before, tf.maximum(buckets - width, 0)) for width in self.widths)
        spans = [now, *(tf.maximum(now - one, 0) for one in earlier)]
        moments = self.moments.map(lambda one: tf.gather(one, buckets)[:, None])
        return trend_columns(spans, moments, self.listing.map(lambda one: tf.gather(one, items)), self.prior, self.unit)

    def at(self, bucket: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """As `Trends` says."""
        place, entry = self._entries(items)
        when, taken, now = tf.gather(self.bucket, entry), tf.gather(self.taken, entry), tf.gather(bucket, place)
        spans = []
        for width in (self._buckets, *self.widths):
            counts = tf.where((when < now) & (when >= now - width), taken, 0)
            spans.append(tf.math.unsorted_segment_sum(counts, place, tf.size(items)))
        moments = self.moments.map(lambda one: tf.gather(one, bucket))
        return trend_columns(spans, moments, self.listing.map(lambda one: tf.gather(one, items)), self.prior, self.unit)

    def on_device(self) -> TrendCounts:
        """As `Trends` says."""
        first, bucket, taken = (tf.constant(one) for one in (self.first, self.bucket, self.taken))
        moments, listing = self.moments.map(tf.identity), self.listing.map(tf.identity)
        return replace(self, first=first, bucket=bucket, taken=taken, moments=moments, listing=listing)

    def table(self) -> TrendTable:
        """Those of all items in all buckets."""
        counts, items = self.on_device(), int(self.listing.listed.shape[0])
        table = np.empty((self._buckets, items, self.columns), np.float32)
        for some in np.array_split(np.arange(items, dtype=np.int32), max(1, self._buckets * items // _BLOCK)):
            table[:, some] = counts.of(tf.constant(some))
        return TrendTable(table)

    def _entries(self, items: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """All entries of each of `items` [C], and whose they are: its place among them."""
        begin = tf.gather(self.first, items)
        count = tf.gather(self.first, items + 1) - begin
        place = tf.repeat(tf.range(tf.size(items)), count)
        within = tf.range(tf.size(place, tf.int64)) - tf.gather(tf.cumsum(count, exclusive=True), place)
        return place, tf.gather(begin, place) + within

"""Point-in-time popularity and age of items: the trend part of item vectors.

Counted from the log alone and only from events before the moment, so no value can see the future. Training
reads a table of buckets; serving reads one row, computed at the moment the index is refreshed.

A popularity is the log of what an item took over what an average item took in the time that it was listed, shrunk
towards what is expected before anything is seen: an observed rate over an expected one with a gamma prior (DuMouchel,
"Bayesian data mining in large frequency tables", 1999). An item just listed therefore trends like an average one, and
not far below the items that nobody wants; how newcomers differ from that is for the towers to learn from the age.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from configs.errors import ConfigError
from configs.schema import Config
from configs.units import duration
from pipelines.tables import Interactions

_CLOCK_WINDOWS = ("1d", "7d", "30d")
_LARGEST_TABLE = 1 << 30  # bytes; building it takes a few times as much


@dataclass(frozen=True)
class Trend:
    """How trends are counted, on the events' time axis: windows and bucket in seconds or order steps.

    A window counts as whole buckets, at least one, so that training and serving count over the same span. prior: how
    many events of an average item it takes to move a popularity half way from what was expected of it.
    """

    windows: tuple[int, ...]
    bucket: int
    enabled: bool = True
    prior: float = 10.0

    @property
    def columns(self) -> int:
        """Number t of trend columns: popularity of all time and of each window, age; none where trends are not
        enabled."""
        return len(self.windows) + 2 if self.enabled else 0

    @property
    def widths(self) -> tuple[int, ...]:
        """Windows in buckets, the longest first: each is what is expected of the next."""
        return tuple(sorted((max(1, window // self.bucket) for window in self.windows), reverse=True))


def trend_of(config: Config, interactions: Interactions) -> Trend:
    """Windows and bucket of the config; where there is no clock, shares of the log's span stand in for days."""
    chosen = config.trend
    if config.data.events.time is not None:
        windows = tuple(map(duration, chosen.windows or _CLOCK_WINDOWS))
        return Trend(windows, duration(chosen.bucket or "1d"), chosen.enabled, chosen.prior)
    span = max(int(interactions.time[-1] - interactions.time[0]), 100)
    windows = tuple(map(duration, chosen.windows or (span // 100, span // 20, span // 4)))
    return Trend(windows, duration(chosen.bucket or span // 100), chosen.enabled, chosen.prior)


def trend_at(trend: Trend, interactions: Interactions, available_from: np.ndarray, moment: int) -> np.ndarray:
    """Trend columns of every item at `moment`, [N, t] float32; available_from [N] int64."""
    items = len(available_from)
    if not trend.enabled:
        return np.zeros((items, 0), np.float32)
    past = interactions.before(moment)
    starts = [moment - width * trend.bucket for width in trend.widths]
    parts = [past, *(past.between(start, moment) for start in starts)]
    counts = np.stack([np.bincount(part.item, part.weight, items) for part in parts])
    total = _Total(past)
    begun = np.array([0.0, *total.before(np.array(starts, np.int64))])
    listed = listed_times(past, available_from)
    now = np.array([moment])
    return _columns(trend, counts[:, None], begun[:, None], total.before(now), total.before(listed), listed, now)[0]


def bucket_of(trend: Trend, start: int, time: np.ndarray) -> np.ndarray:
    """Bucket of each time, int32; bucket b starts at `start`, the first event's time, + b x trend.bucket."""
    return ((time - start) // trend.bucket).astype(np.int32)


def trend_table(trend: Trend, interactions: Interactions, available_from: np.ndarray) -> np.ndarray:
    """Trend columns at the start of every bucket of `interactions`, [buckets, N, t] float32."""
    items = len(available_from)
    bucket = bucket_of(trend, interactions.time[0], interactions.time)
    buckets = int(bucket[-1]) + 1
    if not trend.enabled:
        return np.zeros((buckets, items, 0), np.float32)
    size = buckets * items * trend.columns * 4
    if size > _LARGEST_TABLE:
        raise ConfigError(
            f"trend.bucket: {trend.bucket} gives {buckets} buckets x {items} items, {size / 2**30:.1f} GiB; "
            f"expected at most {_LARGEST_TABLE >> 30} GiB: choose a longer bucket"
        )
    cell = bucket.astype(np.int64) * items + interactions.item
    per_bucket = np.bincount(cell, interactions.weight, buckets * items).reshape(buckets, items)
    before = np.zeros((buckets + 1, items))
    np.cumsum(per_bucket, axis=0, out=before[1:])
    now = np.arange(buckets)
    since = np.stack([np.zeros_like(now), *(np.maximum(now - width, 0) for width in trend.widths)])
    total, listed = before.sum(axis=1), listed_times(interactions, available_from)
    return _columns(
        trend,
        before[now] - before[since],
        total[since],
        total[now],
        _Total(interactions).before(listed),
        listed,
        interactions.time[0] + now * trend.bucket,
    )


def available_times(items_available: np.ndarray, interactions: Interactions, items: int) -> np.ndarray:
    """When each item enters the catalogue, [N] int64: as the table says (NaN: unknown), else before everything."""
    start = int(interactions.time[0]) if len(interactions) else 0
    known = np.isfinite(items_available)
    return np.where(known, np.where(known, items_available, 0), start).astype(np.int64)


def listed_times(interactions: Interactions, available_from: np.ndarray) -> np.ndarray:
    """When each item enters the catalogue or is first taken, whichever is earlier, [N] int64.

    Tables of items date some too late. What happens after a moment changes no listing before it.
    """
    listed = available_from.copy()
    np.minimum.at(listed, interactions.item, interactions.time)
    return listed


class _Total:
    """Summed weight of a log's events before any moment."""

    def __init__(self, interactions: Interactions) -> None:
        self._time = interactions.time
        self._total = np.concatenate([[0.0], np.cumsum(interactions.weight, dtype=np.float64)])

    def before(self, moments: np.ndarray) -> np.ndarray:
        return self._total[np.searchsorted(self._time, moments)]


def _columns(
    trend: Trend,
    counts: np.ndarray,
    begun: np.ndarray,
    now: np.ndarray,
    unlisted: np.ndarray,
    listed: np.ndarray,
    moments: np.ndarray,
) -> np.ndarray:
    """Columns of N items at M `moments`, [M, N, t]; `listed` [N] on their axis.

    The others are weights of events, with W spans that begin with all time and end at the moments: counts [W, M, N] of
    each item; of all items, begun [W, M] before the spans, now [M] before the moments, unlisted [N] before an item was.
    """
    there = np.maximum((listed[None, :] <= moments[:, None]).sum(axis=1), 1)[:, None]
    rate, columns = np.ones_like(counts[0]), []
    for taken, start in zip(counts, begun, strict=True):
        expected = np.maximum(now[:, None] - np.maximum(start[:, None], unlisted[None, :]), 0) / there
        rate = (taken + trend.prior * rate) / (expected + trend.prior)
        columns.append(np.log(rate))
    columns.append(np.log1p(np.maximum(moments[:, None] - listed[None, :], 0) / trend.bucket))
    return np.stack(columns, axis=-1).astype(np.float32)

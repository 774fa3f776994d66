"""Point-in-time popularity and age of items: the trend part of item vectors.

Counted from the log alone and only from events before the moment, so no value can see the future. Training
reads a table of buckets; serving reads one row, computed at the moment the index is refreshed.
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
_PRIOR = 20.0  # events' worth of an item's all-time share mixed into its recent share


@dataclass(frozen=True)
class Trend:
    """How trends are counted, on the events' time axis: windows and bucket in seconds or order steps.

    A window counts as whole buckets, at least one, so that training and serving count over the same span.
    """

    windows: tuple[int, ...]
    bucket: int

    @property
    def columns(self) -> int:
        """Number t of trend columns: all-time share, one share per window, age."""
        return len(self.windows) + 2

    @property
    def widths(self) -> tuple[int, ...]:
        """Windows in buckets."""
        return tuple(max(1, window // self.bucket) for window in self.windows)


def trend_of(config: Config, interactions: Interactions) -> Trend:
    """Windows and bucket of the config; where there is no clock, shares of the log's span stand in for days."""
    if config.data.events.time is not None:
        windows = tuple(map(duration, config.trend.windows or _CLOCK_WINDOWS))
        return Trend(windows, duration(config.trend.bucket or "1d"))
    span = max(int(interactions.time[-1] - interactions.time[0]), 100)
    windows = tuple(map(duration, config.trend.windows or (span // 100, span // 20, span // 4)))
    return Trend(windows, duration(config.trend.bucket or span // 100))


def trend_at(trend: Trend, interactions: Interactions, available_from: np.ndarray, moment: int) -> np.ndarray:
    """Trend columns of every item at `moment`, [N, t] float32; available_from [N] int64."""
    items = len(available_from)
    past = interactions.before(moment)
    counts = [np.bincount(past.item, past.weight, items)]
    for width in trend.widths:
        recent = past.between(moment - width * trend.bucket, moment)
        counts.append(np.bincount(recent.item, recent.weight, items))
    return _columns(np.stack(counts)[:, None], _age(trend, available_from, np.array([moment])))[0]


def bucket_of(trend: Trend, interactions: Interactions, time: np.ndarray) -> np.ndarray:
    """Bucket of each time, int32; bucket b starts at the first event's time + b x trend.bucket."""
    return ((time - interactions.time[0]) // trend.bucket).astype(np.int32)


def trend_table(trend: Trend, interactions: Interactions, available_from: np.ndarray) -> np.ndarray:
    """Trend columns at the start of every bucket of `interactions`, [buckets, N, t] float32."""
    items = len(available_from)
    bucket = bucket_of(trend, interactions, interactions.time)
    buckets = int(bucket[-1]) + 1
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
    counts = [before[now], *(before[now] - before[np.maximum(now - width, 0)] for width in trend.widths)]
    starts = interactions.time[0] + now * trend.bucket
    return _columns(np.stack(counts), _age(trend, available_from, starts))


def available_times(items_available: np.ndarray, interactions: Interactions, items: int) -> np.ndarray:
    """When each item enters the catalogue, [N] int64: as the table says (NaN: unknown), else before everything."""
    start = int(interactions.time[0]) if len(interactions) else 0
    known = np.isfinite(items_available)
    return np.where(known, np.where(known, items_available, 0), start).astype(np.int64)


def _age(trend: Trend, available_from: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Age in buckets, [M, N], 0 for what is not out yet."""
    return np.maximum(moments[:, None] - available_from[None, :], 0) / trend.bucket


def _columns(counts: np.ndarray, age: np.ndarray) -> np.ndarray:
    """counts [1 + windows, M, N] (all time first) and age [M, N] to [M, N, t], each column about unit scale."""
    items = counts.shape[2]
    ever = (counts[0] + 0.5) / (counts[0].sum(axis=1, keepdims=True) + 0.5 * items)
    columns = [np.log(ever * items)]
    for recent in counts[1:]:
        share = (recent + _PRIOR * ever) / (recent.sum(axis=1, keepdims=True) + _PRIOR)
        columns.append(np.log(share * items))
    columns.append(np.log1p(age))
    return np.stack(columns, axis=-1).astype(np.float32)

"""Point-in-time popularity and age of items, counted: the trend part of item vectors (`towers.trends`).

Counted from the log alone and only from events before the moment, so no value can see the future. Training reads them
at the starts of buckets of time; serving at the moment the index is refreshed.
"""

from __future__ import annotations

import numpy as np

from configs.errors import ConfigError
from pipelines.tables import Interactions
from pipelines.trend import Trend, bucket_of, listed_times
from towers.trends import Listing, Moments, TrendCounts, Trends, TrendTable, trend_columns

_LARGEST_TABLE = 1 << 30  # bytes; a step holds it as a tensor beside the array that it is made of


def trend_at(trend: Trend, interactions: Interactions, available_from: np.ndarray, moment: int) -> np.ndarray:
    """Trend columns of every item at `moment`, [N, t] float32; available_from [N] int64."""
    items = len(available_from)
    if not trend.enabled:
        return np.zeros((items, 0), np.float32)
    past = interactions.before(moment)
    starts = [moment - width * trend.bucket for width in trend.widths]
    parts = [past, *(past.between(start, moment) for start in starts)]
    # of no event at all, numpy would count in integers
    taken = [np.bincount(part.item, part.weight, items).astype(float) for part in parts]
    total, listing = _Total(past), _listing(past, available_from)
    begun = total.before(np.array([starts], np.int64).T)
    moments = _moments(begun, total, np.array([moment]), listing)
    return trend_columns(taken, moments, listing, trend.prior, trend.bucket).numpy()


def trends_of(trend: Trend, interactions: Interactions, available_from: np.ndarray, beforehand: bool) -> Trends:
    """Trends at the start of every bucket of `interactions`: worked out `beforehand`, as compiled steps and those that
    compare all items want them, or as they are asked for. Raises: ConfigError where a table would be too large."""
    items = len(available_from)
    bucket = bucket_of(trend, interactions.time[0], interactions.time)
    buckets = int(bucket[-1]) + 1
    if not trend.enabled:
        return TrendTable(np.zeros((buckets, items, 0), np.float32))
    size = buckets * items * trend.columns * 4
    if beforehand and size > _LARGEST_TABLE:
        raise ConfigError(
            f"trend.bucket: {trend.bucket} gives {buckets} buckets x {items} items, {size / 2**30:.1f} GiB; "
            f"expected at most {_LARGEST_TABLE >> 30} GiB: choose a longer bucket, or let each step work out its own: "
            "train.xla = false, and train.negatives.whole_catalogue_below under the number of items"
        )
    starts = interactions.time[0] + np.arange(buckets) * trend.bucket
    total, listing = _Total(interactions), _listing(interactions, available_from)
    begun = total.before(starts - np.array(trend.widths, np.int64)[:, None] * trend.bucket)
    counts = TrendCounts(
        *_entries(bucket, interactions, items),
        trend.widths,
        _moments(begun, total, starts, listing),
        listing,
        trend.prior,
        trend.bucket,
    )
    return counts.table() if beforehand else counts


class _Total:
    """Summed weight of a log's events before any moment."""

    def __init__(self, interactions: Interactions) -> None:
        self._time = interactions.time
        self._total = np.concatenate([[0.0], np.cumsum(interactions.weight, dtype=np.float64)])

    def before(self, moments: np.ndarray) -> np.ndarray:
        return self._total[np.searchsorted(self._time, moments)]


def _listing(interactions: Interactions, available_from: np.ndarray) -> Listing:
    listed = listed_times(interactions, available_from)
    return Listing(listed, _Total(interactions).before(listed))


def _moments(begun: np.ndarray, total: _Total, moments: np.ndarray, listing: Listing) -> Moments:
    """What `moments` [B] say to all items; begun [W - 1, B]: weights before the spans but the first."""
    there = np.searchsorted(np.sort(listing.listed), moments, side="right")
    ever = np.zeros((1, len(moments)))
    return Moments(np.concatenate([ever, begun]), total.before(moments), moments, np.maximum(there, 1).astype(float))


def _entries(bucket: np.ndarray, interactions: Interactions, items: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What items took in each bucket, as `TrendCounts` takes it: first, bucket and taken."""
    buckets = int(bucket[-1]) + 1
    key, place = np.unique(interactions.item.astype(np.int64) * buckets + bucket, return_inverse=True)
    item, when = np.divmod(key, buckets)
    taken = np.bincount(place, interactions.weight, len(key))
    first = np.searchsorted(item, np.arange(items + 1))
    return first.astype(np.int64), when.astype(np.int32), taken.astype(np.float32)

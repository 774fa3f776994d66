"""How trends of items are counted, which `pipelines.trend_counts` does: windows, buckets, and when items are listed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from configs.errors import ConfigError
from configs.schema import Config
from configs.units import duration
from pipelines.tables import Interactions

_CLOCK_WINDOWS = ("1d", "7d", "30d")


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
        windows, bucket = chosen.windows or _CLOCK_WINDOWS, chosen.bucket or "1d"
    else:
        span = max(int(interactions.time[-1] - interactions.time[0]), 100)
        windows, bucket = chosen.windows or (span // 100, span // 20, span // 4), chosen.bucket or span // 100
    trend = Trend(tuple(map(duration, windows)), duration(bucket), chosen.enabled, chosen.prior)
    if min(trend.windows) < trend.bucket or len(set(trend.widths)) < len(windows):
        raise ConfigError(
            f"trend.windows: {', '.join(map(str, windows))} are counted in buckets of {bucket}, expected each to hold "
            "another number of them, at least one: choose a shorter trend.bucket, or other windows"
        )
    return trend


def bucket_of(trend: Trend, start: int, time: np.ndarray) -> np.ndarray:
    """Bucket of each time, int32; bucket b starts at `start`, the first event's time, + b x trend.bucket."""
    return ((time - start) // trend.bucket).astype(np.int32)


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

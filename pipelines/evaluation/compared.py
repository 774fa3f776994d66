"""Comparing contenders in pairs: how many resamples, and what a difference says.

Requests are resampled one by one: whatever the protocol, a query makes one request of the test window.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipelines.evaluation.bootstrap import Interval
from pipelines.evaluation.results import Results

Status = Literal["better", "worse", "level", "too few to tell"]
_DRAWS = 20_000_000  # values drawn for one interval: fewer resamples of many requests, whose means are steadier


@dataclass(frozen=True)
class Against:
    """A rival on the same requests: its mean, and the paired difference to it (above 0: the rival is behind)."""

    rival: str
    value: float
    difference: Interval
    status: Status


def status_of(difference: Interval, min_users: int) -> Status:
    """What a 95 % interval of a difference says; nothing where fewer than `min_users` requests are behind it."""
    if difference.n < min_users:
        return "too few to tell"
    if difference.low > 0:
        return "better"
    return "worse" if difference.high < 0 else "level"


def samples_for(n: int) -> int:
    """Number of resamples of n values that keeps an interval affordable, 200 to 2,000."""
    return int(np.clip(_DRAWS // max(n, 1), 200, 2000))


def is_popularity(name: str) -> bool:
    """Whether a baseline is a popularity: what `twinspire publish --policy popularity` chooses from."""
    return name.startswith("popularity")


def strongest(results: Mapping[str, Results], metric: str) -> str:
    """Who does best on the judged requests themselves: the hardest rival, even by luck."""
    measured = [name for name in results if metric in results[name].metrics]
    return max(measured, key=lambda name: results[name].mean(metric))


def strongest_popularity(results: Mapping[str, Results], metric: str) -> str:
    """The same among the popularities."""
    return strongest({name: result for name, result in results.items() if is_popularity(name)}, metric)

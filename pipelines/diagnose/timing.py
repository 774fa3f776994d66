"""What the times say: span, silences, bursts, coarse or batched clocks, and the rhythm of day and week."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.diagnose.observed import Observed

_DAY = 86_400
_COARSE = ((_DAY, "day"), (3_600, "hour"), (60, "minute"))
_WHOLE = 0.99  # share of times that are whole days, hours or minutes before the clock counts as that coarse
_AROUND, _LIVELY = 7, 20  # days either side, and events a day there, that make an empty day a hole
_RHYTHM = 1_000  # events below which hours of the day say nothing


@dataclass(frozen=True)
class Silence:
    """No event from `start` to `end`."""

    start: int
    end: int


@dataclass(frozen=True)
class Calendar:
    """What needs a clock. days: calendar days (UTC) that the log spans, with the events of each; empty: days without
    events; holes: those of them that lie among lively days; coarse: "minute", "hour" or "day" where that is all the
    clock tells, else ""; hours, weekdays: events by hour of day and day of week (UTC, from Monday)."""

    first_day: int
    days: tuple[int, ...]
    empty: int
    holes: int
    coarse: str
    hours: tuple[int, ...]
    weekdays: tuple[int, ...]

    @property
    def peak(self) -> float:
        """Events in the busiest hour of the day over those in the quietest; NaN where there are too few."""
        if sum(self.hours) < _RHYTHM or self.coarse in ("day", "hour"):
            return float("nan")
        return max(self.hours) / max(min(self.hours), 1)


@dataclass(frozen=True)
class Timing:
    """first, last: times of the first and last event; silences: the longest, longest first; typical: median time
    between events; half_in: share of the span within which the busiest half of the events could fall, as hundredths
    of the span; tied: share of the events that share their time with another of the same query; crowded: most events
    of one query at one moment, moment: most events of all; calendar: None without a clock."""

    first: int
    last: int
    typical: float
    silences: tuple[Silence, ...]
    half_in: float
    tied: float
    crowded: int
    moment: int
    calendar: Calendar | None


def timing(observed: Observed) -> Timing:
    """Read the times of all events."""
    log = observed.log
    gaps = np.diff(log.time)
    longest = np.argsort(-gaps, kind="stable")[:3]
    together = _together(log.query, log.time)
    return Timing(
        first=int(log.time[0]),
        last=int(log.time[-1]),
        typical=float(np.median(gaps)) if len(gaps) else float("nan"),
        silences=tuple(Silence(int(log.time[i]), int(log.time[i + 1])) for i in longest if gaps[i] > 0),
        half_in=_half_in(log.time),
        tied=float(together[together > 1].sum() / len(log)),
        crowded=int(together.max()),
        moment=int(np.unique(log.time, return_counts=True)[1].max()),
        calendar=_calendar(log.time) if observed.clock else None,
    )


def _together(query: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Number of events at each (query, time) there is."""
    order = np.lexsort((time, query))
    changed = (np.diff(query[order]) != 0) | (np.diff(time[order]) != 0)
    edges = np.concatenate([[0], np.flatnonzero(changed) + 1, [len(order)]])
    return np.diff(edges)


def _half_in(time: np.ndarray) -> float:
    span = int(time[-1] - time[0])
    if not span:
        return float("nan")
    counts = np.sort(np.bincount((time - time[0]) * 100 // (span + 1), minlength=100))[::-1]
    return float((np.searchsorted(np.cumsum(counts), len(time) / 2) + 1) / 100)


def _calendar(time: np.ndarray) -> Calendar:
    day = time // _DAY
    days = np.bincount(day - day[0])
    around = np.convolve(days, np.ones(2 * _AROUND + 1))[_AROUND : _AROUND + len(days)] / (2 * _AROUND + 1)
    coarse = next((name for unit, name in _COARSE if (time % unit == 0).mean() >= _WHOLE), "")
    return Calendar(
        first_day=int(day[0]),
        days=tuple(map(int, days)),
        empty=int((days == 0).sum()),
        holes=int(((days == 0) & (around >= _LIVELY)).sum()),
        coarse=coarse,
        hours=tuple(map(int, np.bincount(time // 3_600 % 24, minlength=24))),
        weekdays=tuple(map(int, np.bincount((day + 3) % 7, minlength=7))),  # 1970-01-01 was a Thursday
    )

"""The split: four windows of the log, and the cuts between them that no one looks past."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from configs.errors import DataError
from configs.stages import Split
from configs.units import moment
from pipelines.tables import Interactions

WINDOWS = ("train", "validation", "ranker", "test")


@dataclass(frozen=True)
class Cut:
    """The border in front of window `number` (4: behind the last), and the moment that is "now" there, on the events'
    time axis. Protocols that do not split by time have no such moment: theirs is the end of the log."""

    number: int
    moment: int

    @classmethod
    def at(cls, moment: int) -> Cut:
        """Any moment as a cut, in front of no window; only for windows that follow one another in time."""
        return cls(-1, moment)


@dataclass(frozen=True, eq=False)
class Cuts:
    """The cuts, named by what follows them, and the window of each event, [n] int8 in the order of the log.

    by_time: windows follow one another in time, so that a cut's past is what lies before its moment.
    """

    validation: Cut
    ranker: Cut
    test: Cut
    end: Cut
    window: np.ndarray
    by_time: bool = True

    @property
    def for_ranker(self) -> tuple[Cut, Cut]:
        """Start and end of the window that the ranker is chosen on: of validation where it has none of its own."""
        own = (self.window == self.ranker.number).any()
        return (self.ranker, self.test) if own else (self.validation, self.ranker)

    def past(self, log: Interactions, cut: Cut) -> Interactions:
        """Events that may be known at `cut`, by time."""
        return log.before(cut.moment) if self.by_time else log.take(np.flatnonzero(self.window < cut.number))

    def between(self, log: Interactions, cut: Cut, end: Cut) -> Interactions:
        """Events of the windows from `cut` up to `end`, by time."""
        if self.by_time:
            return log.between(cut.moment, end.moment)
        return log.take(np.flatnonzero((self.window >= cut.number) & (self.window < end.number)))


def cut_log(split: Split, interactions: Interactions, seed: int = 0, clock: bool = False) -> Cuts:
    """Cut the log as `split` says; `seed` is that of the random protocol, `clock` says that times are unix seconds.

    Raises: DataError when a window is empty."""
    if split.protocol == "global_time":
        return _by_time(split, interactions, clock)
    last_out = split.protocol == "leave_last_out"
    held_out = _held_out_last(interactions, split.held_out) if last_out else _dealt(split, interactions, seed)
    for number, name in enumerate(WINDOWS):
        without = name == "ranker" and split.held_out == 2
        if not without and not (held_out == number).any():
            raise DataError(
                f"split: the {name} window of protocol {split.protocol!r} holds none of the {len(interactions)} events"
                "; expected at least one: more events a query, or other shares"
            )
    now = int(interactions.time[-1]) + 1
    return Cuts(Cut(1, now), Cut(2, now), Cut(3, now), Cut(4, now), held_out, by_time=False)


def _quantile(time: np.ndarray, share: float) -> int:
    """The moment at `share` of a log's times, between two events by how far it lies between them, rounded down.

    In whole numbers, as order numbers may be larger than float64 tells apart, and with the share as it is written:
    0.8 is 4 / 5.
    """
    place = (len(time) - 1) * Fraction(str(share))
    before = int(place)
    start, end = int(time[before]), int(time[min(before + 1, len(time) - 1)])
    return start + math.floor((place - before) * (end - start))


def _by_time(split: Split, interactions: Interactions, clock: bool) -> Cuts:
    time = interactions.time

    def told(moment: int) -> str:
        return f"{np.datetime64(moment, 's')} (UTC)" if clock else str(moment)

    if time[0] == time[-1]:
        raise DataError(
            f"split: all {len(time)} events have one time, {told(int(time[0]))}, which no cut parts into windows; "
            f"expected times that differ: look at data.events.{'time and time_unit' if clock else 'order'}"
        )
    cuts = (split.validation, split.ranker, split.test)
    moments = [moment(cut) if isinstance(cut, str) else _quantile(time, cut) for cut in cuts]
    edges = [int(time[0]), *moments, int(time[-1]) + 1]
    for number, name in enumerate(WINDOWS):
        start, end = edges[number], edges[number + 1]
        if not len(interactions.between(start, end)):
            raise DataError(
                f"split: the {name} window, from {told(start)} to {told(end)}, holds none of the {len(time)} events, "
                f"which are of {told(int(time[0]))} to {told(int(time[-1]))}; expected at least one: move "
                "split.validation, split.ranker or split.test"
            )
    window = np.searchsorted(moments, time, side="right").astype(np.int8)
    validation, ranker, test, end_cut = (Cut(number, edges[number]) for number in range(1, 5))
    return Cuts(validation, ranker, test, end_cut, window)


def _held_out_last(interactions: Interactions, held_out: int) -> np.ndarray:
    """Of each query the last event for test, of three the one before for the ranker, and one more for validation; its
    first event is never held out."""
    order = np.argsort(interactions.query, kind="stable")
    query = interactions.query[order]
    counts = np.bincount(query)
    place = np.arange(len(query)) - (np.cumsum(counts) - counts)[query]
    back = np.minimum(counts[query] - 1 - place, held_out)
    windows = np.array([3, 2, 1, 0] if held_out == 3 else [3, 1, 0])
    found = np.zeros(len(query), np.int8)
    found[order] = np.where(place == 0, 0, windows[back])
    return found


def _dealt(split: Split, interactions: Interactions, seed: int) -> np.ndarray:
    chance = np.random.default_rng(seed).random(len(interactions))
    shares = [float(cut) for cut in (split.validation, split.ranker, split.test)]
    return np.searchsorted(shares, chance, side="right").astype(np.int8)

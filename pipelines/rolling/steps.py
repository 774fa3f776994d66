"""The steps of a replay: the test window cut into equal lengths of time, and what is asked in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone

import numpy as np

from configs.errors import ConfigError, DataError
from configs.schema import Config
from configs.units import duration
from pipelines.dataset import Dataset
from pipelines.requests import Window, requests_at, requests_rolling
from pipelines.sequences import Sequences
from pipelines.split import Cut
from pipelines.tables import Ragged, Requests

_DEFAULT, _MOST = 10, 1_000  # steps


@dataclass(frozen=True)
class Step:
    """The part [start, end) of the test window; step 0 starts at the test cut."""

    number: int
    start: Cut
    end: Cut


@dataclass(frozen=True)
class Lived:
    """The log of a replay, put in order once for all its steps: the test window, and what lies before it."""

    window: Window
    at_cut: Sequences

    @classmethod
    def of(cls, dataset: Dataset) -> Lived:
        """The log of a data set that is split by time."""
        cuts = dataset.cuts
        return cls(dataset.judged_window(cuts.test, cuts.end), Sequences.of(dataset.past(cuts.test), dataset.n_queries))

    def part(self, step: Step) -> Window:
        """The events of a step behind the past of each query."""
        log = self.window.sequences
        first, end = (
            log.starts[:-1] + np.bincount(log.query[log.time < cut.moment], minlength=len(log.starts) - 1)
            for cut in (step.start, step.end)
        )
        return Window(log, first, end, step.start.moment)


@dataclass(frozen=True)
class StepRequests:
    """What is asked in one step: of every query that takes something in it and has a past, once or at each event.

    requests: with histories as of the step's start or, where each event is asked for, up to the event; stale: the same
    requests with histories as of the test cut, empty where the query has come since. Queries, each once: came_since
    are those among the requests that have come since the test cut; without_past are active in the step, and nothing
    was known of them when it began. Those ask nothing, or from their second event on.
    """

    requests: Requests
    stale: Requests
    came_since: np.ndarray
    without_past: np.ndarray


def check(config: Config) -> None:
    """Raises: ConfigError when the windows of the split do not follow one another in time, or months are asked for
    where there is no clock."""
    if config.split.protocol != "global_time":
        raise ConfigError(
            f"split.protocol: found {config.split.protocol!r}, expected 'global_time': a rolling replay lives through "
            "the test window in order of time"
        )
    if config.rolling.by == "month" and config.data.events.time is None:
        raise ConfigError("rolling.by: found 'month', expected 'step': data.events.order is no clock")


def check_data(dataset: Dataset) -> None:
    """Raises: ConfigError as `steps_of` does, DataError when nobody asks anything in any step."""
    steps, lived = steps_of(dataset), Lived.of(dataset)
    if not any(len(ask(dataset, step, lived).requests) for step in steps):
        raise DataError(
            f"rolling: in none of the {len(steps)} steps does a query with a past take something new; expected "
            "at least one request: choose a longer rolling.step, or move split.test"
        )


def step_length(config: Config, window: int) -> int:
    """Length of a step on the time axis, of a test window that is `window` long; the last step may be shorter.

    Raises: ConfigError when that gives one step alone, or more than can be looked at.
    """
    asked = config.rolling.step
    length = -(-window // _DEFAULT) if asked is None else duration(asked)
    if not window / _MOST <= length < window:
        of = "seconds" if config.data.events.time is not None else "order numbers"
        raise ConfigError(
            f"rolling.step: found {asked!r}, {length} {of}, in a test window of {window}; expected 2 to {_MOST:,} steps"
        )
    return length


def steps_of(dataset: Dataset) -> list[Step]:
    """The test window in steps, by time; those that are looked at by month end where it does.

    Raises: ConfigError as `check` and `step_length` do.
    """
    check(dataset.config)
    start, end = dataset.cuts.test.moment, dataset.cuts.end.moment
    moments = {*range(start, end, step_length(dataset.config, end - start)), end}
    if dataset.config.rolling.by == "month":
        moments |= set(_months(start, end))
    edges = sorted(moments)
    return [Step(number, Cut.at(edges[number]), Cut.at(edges[number + 1])) for number in range(len(edges) - 1)]


def periods(config: Config, steps: Sequence[Step]) -> np.ndarray:
    """The period that each step is looked at in, [steps] from 0: its own, or its month."""
    if config.rolling.by == "step":
        return np.arange(len(steps))
    start = np.array([step.start.moment for step in steps])
    return np.searchsorted(_months(int(start[0]), int(start[-1]) + 1), start, side="right")


def _months(start: int, end: int) -> list[int]:
    """The moments after `start` and before `end` at which a month begins (UTC)."""
    first = datetime.fromtimestamp(start, timezone.utc)
    year, month = first.year, first.month
    found: list[int] = []
    while True:
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
        moment = int(datetime(year, month, 1, tzinfo=timezone.utc).timestamp())
        if moment >= end:
            return found
        found.append(moment)


def ask(dataset: Dataset, step: Step, lived: Lived) -> StepRequests:
    """The requests of a step, with the targets that the data set's rules admit as of its start."""
    window, rules = lived.part(step), dataset.rules(step.start)
    if dataset.config.rolling.each_event:
        requests = requests_rolling(window, replace(rules, targets="event"), len(window.sequences.query), 0)
    else:
        requests = requests_at(window, rules)
    stale = replace(
        requests,
        history=Ragged(lived.at_cut.starts, lived.at_cut.item).take(requests.query),
        history_time=Ragged(lived.at_cut.starts, lived.at_cut.time).take(requests.query),
    )
    active = window.end > window.first
    came_since = np.unique(requests.query[stale.history.lengths == 0])
    return StepRequests(requests, stale, came_since, np.flatnonzero(active & ~window.known))

"""The steps of a replay: the test window cut into equal lengths of time, and what is asked in each."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from configs.errors import ConfigError
from configs.schema import Config
from configs.units import duration
from pipelines.dataset import Dataset
from pipelines.requests import requests_at
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
class Asked:
    """What is asked in one step: once for every query with a past that takes something in it.

    requests: with histories as of the step's start; stale: the same requests with histories as of the test cut,
    empty where the query has come since; came_since: how many have; without_past: queries active in the step that
    nothing was known of when it began, and which are not asked.
    """

    requests: Requests
    stale: Requests
    came_since: int
    without_past: int


def check_protocol(config: Config) -> None:
    """Raises: ConfigError when the windows of the split do not follow one another in time."""
    if config.split.protocol != "global_time":
        raise ConfigError(
            f"split.protocol: found {config.split.protocol!r}, expected 'global_time': a rolling replay lives through "
            "the test window in order of time"
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
    """The test window in steps, by time. Raises: ConfigError as `check_protocol` and `step_length` do."""
    check_protocol(dataset.config)
    start, end = dataset.cuts.test.moment, dataset.cuts.end.moment
    edges = [*range(start, end, step_length(dataset.config, end - start)), end]
    return [Step(number, Cut.at(edges[number]), Cut.at(edges[number + 1])) for number in range(len(edges) - 1)]


def ask(dataset: Dataset, step: Step, at_cut: Sequences) -> Asked:
    """The requests of a step, with the targets that the data set's rules admit as of its start.

    at_cut: what each query had done before the test cut.
    """
    window = dataset.window(step.start, step.end)
    requests = requests_at(window, dataset.rules(step.start))
    stale = replace(
        requests,
        history=Ragged(at_cut.starts, at_cut.item).take(requests.query),
        history_time=Ragged(at_cut.starts, at_cut.time).take(requests.query),
    )
    active = window.end > window.first
    came_since = np.count_nonzero(stale.history.lengths == 0)
    return Asked(requests, stale, int(came_since), int(np.count_nonzero(active & ~window.known)))

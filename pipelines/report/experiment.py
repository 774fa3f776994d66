"""What an A/B test could see: the smallest effect that it could detect, at the variance and traffic of this log.

Two means, two-sided 5%, 80% power, half of the queries in each arm, equal variances (Kohavi, Tang and Xu, 2020,
ch. 17): effect = (z_97.5 + z_80) x sqrt(2 variance / n), n queries an arm. The unit is the query, as in the test
itself: what one query does on several occasions is one value. Nothing here is computed from an offline lift: how
large an effect is hoped for is a question of what it would be worth, which no log can answer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from configs.schema import Config
from configs.units import duration
from pipelines.dataset import Dataset
from pipelines.evaluation.bootstrap import Interval
from pipelines.evaluation.metrics import hits
from pipelines.evaluation.results import Results
from pipelines.report.standings import difference
from pipelines.tables import Candidates, Interactions

WEEKS = (1, 2, 4)
ASSUMPTIONS = "two-sided 5%, 80% power, half of the queries in each arm, one value for each query"
_WEEK = 7 * 86400
_Z = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(0.8)


@dataclass(frozen=True)
class Detectable:
    """Smallest effect that a test of some weeks can detect, on `queries` distinct queries in both arms.

    rate: the stand-in's mean within so many weeks; absolute: the effect; relative: absolute / rate.
    """

    weeks: int
    queries: int
    rate: float
    absolute: float
    relative: float

    @property
    def possible(self) -> bool:
        """Whether the rate can rise by so much at all: no rate exceeds 1."""
        return self.rate + self.absolute <= 1


@dataclass(frozen=True)
class Experiment:
    """A test of the final list, with the hit rate standing in for the online metric.

    rate and rival_rate: over the whole test window, `difference` paired; detectable: one for each duration that the
    log can tell of; window: days that the test window spans, None where windows do not follow one another in time;
    problem: why (some of) it cannot be computed.
    """

    metric: str
    rate: float
    rival: str
    rival_rate: float
    difference: Interval
    detectable: tuple[Detectable, ...]
    window: float | None
    problem: str | None

    @property
    def hopeless(self) -> bool:
        """Whether not even the longest test could detect the largest effect that there can be."""
        return bool(self.detectable) and not self.detectable[-1].possible


def experiment(dataset: Dataset, ours: Results, rival: str, theirs: Results) -> Experiment:
    """What a test of `ours` (final lists of the test requests) could detect; `rival` is only compared with."""
    k, clock, by_time = dataset.config.gate.list_k, dataset.config.data.events.time is not None, dataset.cuts.by_time
    metric = f"hit_rate@{k}"
    traffic = weekly_traffic(dataset.log) if clock else {}
    found = [
        (weeks, n, values) for weeks, n in traffic.items() if len(values := outcomes(dataset, ours.items[:, :k], weeks))
    ]
    detectable = tuple(
        Detectable(weeks, n, rate, effect, effect / rate)
        for weeks, n, values in found
        for rate, effect in [(float(values.mean()), detectable_effect(float(values.var()), n / 2))]
        if effect > 0
    )
    window = (dataset.cuts.end.moment - dataset.cuts.test.moment) / 86400 if clock and by_time else None
    return Experiment(
        metric,
        ours.mean(metric),
        rival,
        theirs.mean(metric),
        difference(ours.metrics[metric], theirs.metrics[metric]),
        detectable,
        window,
        _problem(clock, traffic, detectable),
    )


def outcomes(dataset: Dataset, items: np.ndarray, weeks: int) -> np.ndarray:
    """Of each query that comes back within `weeks` of the test cut, whether it takes one of its listed items by then,
    float [queries]. items: [R, k], the lists of the test requests, which are one for each query.

    Where windows do not follow one another in time, all that a request asks for counts.
    """
    requests, listed = dataset.test_requests, items
    if dataset.cuts.by_time:
        within = replace(dataset, config=_within(dataset.config, weeks)).test_requests
        listed, requests = items[np.searchsorted(requests.query, within.query)], within
    return np.asarray(hits(Candidates(listed, listed, "list"), requests.targets, listed.shape[1]).any(axis=1), float)


def detectable_effect(variance: float, per_arm: float) -> float:
    """Smallest absolute difference of two means that `per_arm` queries in each arm detect."""
    return _Z * math.sqrt(2 * variance / per_arm)


def weekly_traffic(log: Interactions) -> dict[int, int]:
    """Distinct queries in the log's last 1, 2 and 4 full weeks, counted back from its end.

    Distinct over the whole duration, not weeks times a week's: a test assigns a query once, however often it
    returns. Durations that the log does not span are left out.
    """
    end, first = int(log.time[-1]) + 1, int(log.time[0])
    spans = [weeks for weeks in WEEKS if end - weeks * _WEEK >= first]
    return {weeks: len(np.unique(log.between(end - weeks * _WEEK, end).query)) for weeks in spans}


def _within(config: Config, weeks: int) -> Config:
    """The config with targets of the first weeks only."""
    horizon = weeks * _WEEK if config.split.horizon is None else min(weeks * _WEEK, duration(config.split.horizon))
    return config.model_copy(update={"split": config.split.model_copy(update={"horizon": horizon})})


def _problem(clock: bool, traffic: dict[int, int], detectable: tuple[Detectable, ...]) -> str | None:
    if not clock:
        return "the data has an order but no clock, so its weekly traffic is not known"
    missing = [weeks for weeks in WEEKS if weeks not in traffic]
    if missing:
        return f"the log is shorter than {missing[0]} full week{'s' * (missing[0] > 1)}"
    if len(detectable) < len(traffic):
        return "all queries fare alike within some of these times, which says nothing about how much they vary"
    return None

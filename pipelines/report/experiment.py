"""What an A/B test could see: the smallest effect that it could detect, at the variance and traffic of this log.

Two-sided 5%, 80% power, half of the queries in each arm (`pipelines.experiment.power`). The unit is the query, as in
the test itself: what one query does on several occasions is one value. Rate, variance and traffic are of the same kind
of query: one that had a past when the time began and comes back within it. Nothing here is computed from an offline
lift: how large an effect is hoped for is a question of what it would be worth, which no log can answer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from configs.schema import Config
from configs.units import duration
from pipelines.dataset import Dataset
from pipelines.evaluation.bootstrap import Interval
from pipelines.evaluation.funnel import taken_in_test
from pipelines.evaluation.metrics import hits
from pipelines.evaluation.results import Results
from pipelines.experiment.power import WEEK, WEEKS, detectable_effect
from pipelines.report.standings import difference
from pipelines.tables import Candidates, Interactions

ASSUMPTIONS = "two-sided 5%, 80% power, half of the queries in each arm, one value for each query"


@dataclass(frozen=True)
class Detectable:
    """Smallest effect that a test of some weeks can detect, on `queries` distinct queries in both arms.

    rate: the stand-in's mean within so many weeks, or as many of them as can be observed; absolute: the effect;
    relative: absolute / rate.
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
    log can tell of; window: days over which outcomes can be observed (the test window, or the horizon where that is
    shorter), None where windows do not follow one another in time; problem: why (some of) it cannot be computed.
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

    @property
    def shortened(self) -> str:
        """Which tests are longer than what can be observed, and what that means; "" where none is."""
        weeks = [str(one.weeks) for one in self.detectable if self.window is not None and one.weeks * 7 > self.window]
        if not weeks:
            return ""
        named = " or ".join(filter(None, (", ".join(weeks[:-1]), weeks[-1])))
        return (
            f"What queries do can be observed for {self.window:.1f} days only, so rate and variance of a test of "
            f"{named} week{'s' * (named != '1')} are those of {self.window:.1f} days, and only the "
            "traffic is that of the whole time."
        )


def experiment(dataset: Dataset, ours: Results, rival: str, theirs: Results) -> Experiment:
    """What a test of `ours` (final lists of the test requests) could detect; `rival` is only compared with."""
    k, clock, by_time = dataset.config.gate.list_k, dataset.config.data.events.time is not None, dataset.cuts.by_time
    metric = f"hit_rate@{k}"
    traffic = weekly_traffic(dataset.log, dataset.n_queries, dataset.config.split.history == "rolling") if clock else {}
    found = [
        (weeks, n, values) for weeks, n in traffic.items() if len(values := outcomes(dataset, ours.items[:, :k], weeks))
    ]
    detectable = tuple(
        Detectable(weeks, n, rate, effect, effect / rate)
        for weeks, n, values in found
        for rate, effect in [(float(values.mean()), detectable_effect(float(values.var()), n / 2))]
        if effect > 0
    )
    window = _observed(dataset) / 86400 if clock and by_time else None
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
    """Of each query with a past that comes back within `weeks` of the test cut, whether it takes one of its listed
    items by then, float [queries]. items: [R, k], the lists of the test requests, which are one for each query.

    A query that takes nothing that could be recommended to it has no request, and counts as 0. Where histories roll,
    the weeks are those after each request; where windows do not follow one another in time, all that is asked for
    counts.
    """
    within = replace(dataset, config=_within(dataset.config, weeks)) if dataset.cuts.by_time else dataset
    asked, come_back = within.test_requests, taken_in_test(within).query
    listed = items[np.searchsorted(dataset.test_requests.query, asked.query)]
    found = np.zeros(len(come_back))
    hit = hits(Candidates(listed, listed, "list"), asked.targets, listed.shape[1]).any(axis=1)
    found[np.searchsorted(come_back, asked.query)] = hit
    return found


def weekly_traffic(log: Interactions, queries: int, rolling: bool) -> dict[int, int]:
    """Distinct queries with a past that come back in the log's last 1, 2 and 4 full weeks, counted back from its end.

    A past is what requests ask for: an event before those weeks or, where histories roll, before another one in them.
    Distinct over the whole duration, not weeks times a week's: a test assigns a query once, however often it
    returns. Durations in which nobody comes back, which the log may not span, are left out.
    """
    end = int(log.time[-1]) + 1
    found = {}
    for weeks in WEEKS:
        start = end - weeks * WEEK
        before = np.bincount(log.before(start).query, minlength=queries)
        within = np.bincount(log.between(start, end).query, minlength=queries)
        found[weeks] = int(((within > 0) & (before + rolling * (within - 1) > 0)).sum())
    spanned = end - int(log.time[0])
    return {weeks: n for weeks, n in found.items() if n and weeks * WEEK <= spanned}


def _observed(dataset: Dataset) -> int:
    """For how long after the test cut (or the request, where histories roll) outcomes are known, at most; seconds."""
    horizon, cuts = dataset.config.split.horizon, dataset.cuts
    window = cuts.end.moment - cuts.test.moment
    return window if horizon is None else min(window, duration(horizon))


def _within(config: Config, weeks: int) -> Config:
    """The config with targets of the first weeks only."""
    horizon = weeks * WEEK if config.split.horizon is None else min(weeks * WEEK, duration(config.split.horizon))
    return config.model_copy(update={"split": config.split.model_copy(update={"horizon": horizon})})


def _problem(clock: bool, traffic: dict[int, int], detectable: tuple[Detectable, ...]) -> str | None:
    if not clock:
        return "the data has an order but no clock, so its weekly traffic is not known"
    missing = [weeks for weeks in WEEKS if weeks not in traffic]
    if missing:
        weeks = f"{missing[0]} full week{'s' * (missing[0] > 1)}"
        return f"the log is shorter than {weeks}, or no query of before comes back in the last of them"
    if len(detectable) < len(traffic):
        return "all queries fare alike within some of these times, which says nothing about how much they vary"
    return None

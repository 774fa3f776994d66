"""The standings: baselines and stages of the model, judged on the same requests and compared in pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from configs.schema import Config
from pipelines.evaluation.bootstrap import Interval, paired_intervals
from pipelines.evaluation.compared import is_popularity, samples_for
from pipelines.evaluation.scoreboard import Scoreboard
from pipelines.report.references import reference_values

OURS = ("final list", "towers + ranker", "towers")
"""Stages of the model, the last first: the first that has been judged stands for the model in the list's metric, the
towers in that of the candidates."""


@dataclass(frozen=True)
class Measure:
    """One metric of one contender: its mean, and how far the model is ahead of it (None: it is the model itself, or
    no stage of the model has been judged)."""

    value: Interval
    behind: Interval | None


@dataclass(frozen=True)
class Entry:
    """One contender. measures: the headline metrics; means: all metrics by "name@k"; coverage and gini of the
    catalogue at the list's length, None where nothing was shown; references: values measured elsewhere, by metric."""

    name: str
    ours: bool
    measures: dict[str, Measure]
    means: dict[str, float]
    coverage: float | None
    gini: float | None
    references: dict[str, float]


@dataclass(frozen=True)
class Pairs:
    """A stage of the model against every baseline: rows, by baseline and metric, hold the mean difference, paired by
    request, above 0 where the stage has more; NaN where a baseline's lists are too short."""

    stage: str
    metrics: tuple[str, ...]
    rows: dict[str, dict[str, Interval]]


@dataclass(frozen=True)
class Standings:
    """All contenders on the same requests, best first by the first metric.

    metrics: the headline metrics, of the list and of the candidates; model: the stage that stands for the model, and
    strongest, popular: the strongest of all baselines and of popularities on these very requests, each by metric,
    without the metrics of which there is none; pairs: the final list and the towers, against every baseline.
    """

    metrics: tuple[str, ...]
    list_k: int
    requests: int
    model: dict[str, str]
    strongest: dict[str, str]
    popular: dict[str, str]
    entries: tuple[Entry, ...]
    pairs: tuple[Pairs, ...]

    def entry(self, name: str) -> Entry:
        """The contender of that name."""
        return next(entry for entry in self.entries if entry.name == name)

    def best(self, metric: str) -> float:
        """The highest mean of a headline metric."""
        return max(entry.measures[metric].value.mean for entry in self.entries if metric in entry.measures)

    @property
    def baselines(self) -> tuple[Entry, ...]:
        """The contenders that are no stage of the model and have been judged here."""
        return tuple(entry for entry in self.entries if not entry.ours and entry.measures)

    @property
    def every_metric(self) -> dict[str, tuple[int, ...]]:
        """All metrics by name, each with its depths, ascending."""
        found: dict[str, set[int]] = {}
        for entry in self.entries:
            for metric in entry.means:
                name, _, depth = metric.partition("@")
                found.setdefault(name, set()).add(int(depth))
        return {name: tuple(sorted(depths)) for name, depths in found.items()}


def standings(config: Config, found: Scoreboard) -> Standings:
    """Compare the baselines and the stages of the model that are on the scoreboard."""
    metrics, baselines = headline(config), found.baselines
    ours = [name for name in OURS if name in found.contenders]
    stages = dict(zip(metrics, (OURS, ("towers",)), strict=True))
    model = {
        metric: next(name for name in stages[metric] if name in ours)
        for metric in metrics
        if {*stages[metric]} & {*ours}
    }
    references, measured = reference_values(config), {name: found.measured(name) for name in (*baselines, *ours)}
    entries = [
        Entry(
            name,
            name in ours,
            {one: _measure(found, name, one, model.get(one)) for one in metrics if one in values},
            {metric: value.mean for metric, value in values.items()},
            found.shown(name)["coverage"],
            found.shown(name)["gini"],
            references.pop(name, {}),
        )
        for name, values in measured.items()
    ]
    first = metrics[0]
    entries.sort(key=lambda entry: -entry.measures[first].value.mean if first in entry.measures else 0.0)
    entries += [Entry(name, False, {}, {}, None, None, values) for name, values in references.items()]
    return Standings(
        metrics,
        found.list_k,
        found.requests,
        model,
        _strongest(metrics, {name: measured[name] for name in baselines}),
        _strongest(metrics, {name: measured[name] for name in baselines if is_popularity(name)}),
        tuple(entries),
        tuple(_pairs(found, name, metrics) for name in ("final list", "towers") if name in ours and baselines),
    )


def headline(config: Config) -> tuple[str, str]:
    """The metric of the list, and that of the candidates."""
    return f"ndcg@{config.gate.list_k}", f"recall@{config.gate.k}"


def difference(ours: np.ndarray, theirs: np.ndarray) -> Interval:
    """Interval of a difference, paired by request; requests where either is NaN are left out."""
    return paired_intervals(ours[None, :], theirs, samples=samples_for(len(ours)))[0]


def _measure(found: Scoreboard, name: str, metric: str, model: str | None) -> Measure:
    behind = None if model in (None, name) else found.difference(model, name, metric)
    return Measure(found.value(name, metric), behind)


def _strongest(metrics: Sequence[str], measured: Mapping[str, Mapping[str, Interval]]) -> dict[str, str]:
    """Who of them has the highest mean of each metric."""
    found = {}
    for metric in metrics:
        means = {name: values[metric].mean for name, values in measured.items() if metric in values}
        if means:
            found[metric] = max(means, key=lambda name: means[name])
    return found


def _pairs(found: Scoreboard, name: str, headline: Sequence[str]) -> Pairs:
    asked = (*headline, *(one for one in found.metrics if one.endswith(f"@{found.list_k}")))
    metrics = tuple(one for one in dict.fromkeys(asked) if one in found.measured(name))
    rows = {rival: {one: found.difference(name, rival, one) for one in metrics} for rival in found.baselines}
    return Pairs(name, metrics, rows)

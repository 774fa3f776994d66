"""The standings: baselines and stages of the model, judged on the same requests and compared in pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from configs.schema import Config
from pipelines.evaluation.bootstrap import Interval, intervals, paired_intervals
from pipelines.evaluation.compared import samples_for, strongest
from pipelines.evaluation.metrics import coverage, gini
from pipelines.evaluation.results import Results
from pipelines.report.references import reference_values
from pipelines.tables import Candidates

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
class Standings:
    """All contenders on the same requests, best first by the first metric.

    metrics: the headline metrics, of the list and of the candidates; model: the stage that stands for the model, and
    strongest, popular: the strongest of all baselines and of popularities on these very requests, each by metric,
    without the metrics of which there is none.
    """

    metrics: tuple[str, ...]
    list_k: int
    requests: int
    model: dict[str, str]
    strongest: dict[str, str]
    popular: dict[str, str]
    entries: tuple[Entry, ...]

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
        """All metrics by name, each with its depths, ascending; 0 for a name that ends in no depth."""
        found: dict[str, set[int]] = {}
        for entry in self.entries:
            for metric in entry.means:
                name, _, depth = metric.partition("@")
                plain = depth.isdecimal()
                found.setdefault(name if plain else metric, set()).add(int(depth) if plain else 0)
        return {name: tuple(sorted(depths)) for name, depths in found.items()}


def standings(
    config: Config, baselines: Mapping[str, Results], ours: Mapping[str, Results], eligible: np.ndarray
) -> Standings:
    """Compare; eligible: [N] bool, the items that could be recommended at the test cut."""
    k, metrics = config.gate.list_k, headline(config)
    everyone = {**baselines, **{name: ours[name] for name in OURS if name in ours}}
    stages = dict(zip(metrics, (OURS, ("towers",)), strict=True))
    model = {
        metric: next(name for name in stages[metric] if name in ours)
        for metric in metrics
        if {*stages[metric]} & {*ours}
    }
    popularities = {name: result for name, result in baselines.items() if is_popularity(name)}
    measures: dict[str, dict[str, Measure]] = {name: {} for name in everyone}
    for metric in metrics:
        for name, measure in _measures(everyone, metric, model.get(metric)).items():
            measures[name][metric] = measure
    references = reference_values(config)
    entries = [
        Entry(
            name,
            name in ours,
            measures[name],
            {metric: float(np.nanmean(values)) for metric, values in result.metrics.items()},
            *_shown(result, eligible, k),
            references.pop(name, {}),
        )
        for name, result in everyone.items()
    ]
    first = metrics[0]
    entries.sort(key=lambda entry: -entry.measures[first].value.mean if first in entry.measures else 0.0)
    entries += [Entry(name, False, {}, {}, None, None, values) for name, values in references.items()]
    return Standings(
        metrics,
        k,
        len(next(iter(everyone.values())).items),
        model,
        {metric: strongest(baselines, metric) for metric in metrics if baselines},
        {metric: strongest(popularities, metric) for metric in metrics if popularities},
        tuple(entries),
    )


def headline(config: Config) -> tuple[str, str]:
    """The metric of the list, and that of the candidates."""
    return f"ndcg@{config.gate.list_k}", f"recall@{config.gate.k}"


def is_popularity(name: str) -> bool:
    """Whether a baseline is one that `twinspire publish --policy popularity` can publish."""
    return name.startswith("popularity")


def difference(ours: np.ndarray, theirs: np.ndarray) -> Interval:
    """Interval of a difference, paired by request; requests where either is NaN are left out."""
    return paired_intervals(ours[None, :], theirs, samples=samples_for(len(ours)))[0]


def _measures(everyone: Mapping[str, Results], metric: str, model: str | None) -> dict[str, Measure]:
    """Every contender that reaches the metric's depth, from the same resamples."""
    names = [name for name, result in everyone.items() if metric in result.metrics]
    if not names:
        return {}
    values = np.stack([everyone[name].metrics[metric] for name in names])
    n = values.shape[1]
    behind: Sequence[Interval | None] = [None] * len(names)
    if model is not None:
        behind = intervals(everyone[model].metrics[metric] - values, samples=samples_for(n))
    levels = intervals(values, samples=samples_for(n))
    return {
        name: Measure(found, None if name == model else gap)
        for name, found, gap in zip(names, levels, behind, strict=True)
    }


def _shown(result: Results, eligible: np.ndarray, k: int) -> tuple[float, float]:
    shown, depth = Candidates(result.items, np.zeros(result.items.shape, np.float32), ""), min(k, result.items.shape[1])
    return coverage(shown, eligible, depth), gini(shown, eligible, depth)

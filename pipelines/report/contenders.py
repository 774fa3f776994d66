"""The table of contenders: baselines and stages of the model, judged on the same requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from configs.schema import Config
from pipelines.evaluation.bootstrap import Interval, interval, paired_interval
from pipelines.evaluation.metrics import coverage, gini
from pipelines.evaluation.results import Results
from pipelines.tables import Candidates

OURS = ("towers", "towers + ranker", "final list")
_DRAWS = 20_000_000  # values drawn for one interval: fewer resamples of many requests, whose means are steadier

# Measured elsewhere under the published protocol (5-core items, cut at the 0.9 time quantile, full ranking), by
# name of the config: NDCG@10 and recall@100 of each method. They say whether our baselines are as strong as others'.
_REFERENCES: dict[str, dict[str, tuple[float, float]]] = {
    "movielens-1m": {
        "popularity": (0.254, 0.229),
        "popularity 7d": (0.281, 0.231),
        "popularity 30d": (0.274, 0.249),
        "item-kNN": (0.259, 0.211),
        "ALS": (0.247, 0.242),
        "BPR": (0.178, 0.179),
        "EASE": (0.269, 0.262),  # no contender of ours
    },
}
_REFERENCE_METRICS = ("ndcg@10", "recall@100")
_REFERENCE_PROTOCOL = ("movielens-1m", 5, 0.9, "returning", 100, 10)


@dataclass(frozen=True)
class Measure:
    """One metric of one contender: its mean, and the paired difference to the best baseline (None for itself)."""

    value: Interval
    difference: Interval | None


@dataclass(frozen=True)
class Contender:
    """Measures and reference values by metric; coverage and gini of the catalogue at the list's length."""

    name: str
    ours: bool
    measures: dict[str, Measure]
    coverage: float | None
    gini: float | None
    references: dict[str, float]


@dataclass(frozen=True)
class Contenders:
    """All contenders on the same requests; best_baseline: the strongest of all baselines, by metric."""

    metrics: tuple[str, ...]
    list_k: int
    requests: int
    best_baseline: dict[str, str]
    rows: tuple[Contender, ...]

    def best(self, metric: str) -> float:
        """The highest mean of a metric."""
        return max(row.measures[metric].value.mean for row in self.rows if metric in row.measures)


def contenders(
    config: Config, baselines: Mapping[str, Results], ours: Mapping[str, Results], eligible: np.ndarray
) -> Contenders:
    """Compare; eligible: [N] bool, the items that could be recommended at the test cut."""
    k, metrics = config.gate.list_k, (f"ndcg@{config.gate.list_k}", f"recall@{config.gate.k}")
    best = {metric: strongest(baselines, metric) for metric in metrics if baselines}
    references = reference_values(config)
    rows = []
    for name, result in {**baselines, **ours}.items():
        measures = {
            metric: measure(result, metric, baselines[best[metric]] if best and best[metric] != name else None)
            for metric in metrics
            if metric in result.metrics  # the final list is too short for the candidates' depth
        }
        shown = Candidates(result.items, np.zeros(result.items.shape, np.float32), name)
        depth = min(k, result.items.shape[1])
        rows.append(
            Contender(
                name,
                name in ours,
                measures,
                coverage(shown, eligible, depth),
                gini(shown, eligible, depth),
                references.pop(name, {}),
            )
        )
    requests = len(next(iter({**baselines, **ours}.values())).items)
    rows += [Contender(name, False, {}, None, None, values) for name, values in references.items()]
    return Contenders(metrics, k, requests, best, tuple(rows))


def strongest(baselines: Mapping[str, Results], metric: str) -> str:
    """The baseline that does best on these very requests: the hardest rival, even by luck."""
    return max(baselines, key=lambda name: baselines[name].mean(metric))


def measure(result: Results, metric: str, rival: Results | None) -> Measure:
    """A metric with its interval, and the difference to a rival, paired by request."""
    values = result.metrics[metric]
    return Measure(level(values), None if rival is None else difference(values, rival.metrics[metric]))


def level(values: np.ndarray) -> Interval:
    """Interval of a mean over requests."""
    return interval(values, samples=_samples(len(values)))


def difference(ours: np.ndarray, theirs: np.ndarray) -> Interval:
    """Interval of a difference, paired by request."""
    return paired_interval(ours, theirs, samples=_samples(len(ours)))


def reference_values(config: Config) -> dict[str, dict[str, float]]:
    """Published-protocol values by contender and metric; empty where data or protocol are others."""
    protocol = (config.data.source, config.data.min_item_events, config.split.test, config.split.requests)
    if (*protocol, config.gate.k, config.gate.list_k) != _REFERENCE_PROTOCOL:
        return {}
    found = _REFERENCES.get(config.name, {})
    return {name: dict(zip(_REFERENCE_METRICS, values, strict=True)) for name, values in found.items()}


def _samples(n: int) -> int:
    return int(np.clip(_DRAWS // max(n, 1), 200, 2000))

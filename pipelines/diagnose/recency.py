"""How much of the future popularity alone can catch, and whether the recent past catches more than all of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipelines.baselines.popularity import Popularity, SegmentPopularity
from pipelines.baselines.windows import window_lengths, windows_of
from pipelines.dataset import Dataset
from pipelines.diagnose.observed import Observed
from pipelines.evaluation.bootstrap import Interval, interval, paired_interval
from pipelines.evaluation.metrics import at_depths
from pipelines.evaluation.ranking import Scorer, rank
from pipelines.tables import Requests

REQUESTS = 2_000  # asked at most
ALL_TIME, HINDSIGHT = "all time", "hindsight"


@dataclass(frozen=True)
class Contender:
    """One way of counting popularity: its metrics by "name@k", and the paired difference of the contest's metric to
    `against`: windows against all time, segments against the same window of all; None for all time itself."""

    name: str
    kind: Literal["all time", "window", "segment", "hindsight"]
    measures: dict[str, Interval]
    against: str = ""
    over: Interval | None = None


@dataclass(frozen=True)
class Contest:
    """Popularity lists on the requests of the validation window: all time, recent windows, by segment, and hindsight
    (the window's own popularity: the best that one list for all could do).

    asked: how many of the `requests` were asked; metric: what lists are compared by; metrics: all of them.
    """

    requests: int
    asked: int
    metric: str
    metrics: tuple[str, ...]
    contenders: tuple[Contender, ...]

    def of(self, name: str) -> Contender:
        """The contender of that name."""
        return next(one for one in self.contenders if one.name == name)

    @property
    def recent(self) -> Contender:
        """The best of the recent windows."""
        windows = [one for one in self.contenders if one.kind == "window"]
        return max(windows, key=lambda one: one.measures[self.metric].mean)

    @property
    def segment(self) -> Contender | None:
        """Popularity by segment, where the config names one."""
        return next((one for one in self.contenders if one.kind == "segment"), None)

    @property
    def best(self) -> Contender:
        """The best that could have been shown: hindsight does not count."""
        real = [one for one in self.contenders if one.kind != "hindsight"]
        return max(real, key=lambda one: one.measures[self.metric].mean)


def contest(observed: Observed) -> Contest | None:
    """Measure every list, or None where there is nobody to ask."""
    dataset = observed.dataset
    if dataset is None or not len(dataset.validation_requests):
        return None
    requests = dataset.validation_requests
    asked = requests
    if len(requests) > REQUESTS:
        rng = np.random.default_rng(dataset.config.seed)
        asked = requests.take(np.sort(rng.choice(len(requests), REQUESTS, replace=False)))
    gate = dataset.config.gate
    depths = (gate.list_k, gate.k)
    ways = _ways(dataset, asked)
    values = {name: _measured(dataset, way.scorer, asked, depths) for name, way in ways.items()}
    metric = f"ndcg@{gate.list_k}"
    metrics = (metric, f"hit_rate@{gate.list_k}", f"recall@{gate.k}")
    contenders = []
    for name, way in ways.items():
        over = paired_interval(values[name][metric], values[way.against][metric]) if way.against else None
        measures = {one: interval(values[name][one]) for one in metrics}
        contenders.append(Contender(name, way.kind, measures, way.against, over))
    return Contest(len(requests), len(asked), metric, metrics, tuple(contenders))


@dataclass(frozen=True)
class _Way:
    kind: Literal["all time", "window", "segment", "hindsight"]
    scorer: Scorer
    against: str = ALL_TIME


def _measured(dataset: Dataset, scorer: Scorer, requests: Requests, depths: tuple[int, ...]) -> dict[str, np.ndarray]:
    eligible = dataset.eligible(dataset.cuts.validation)
    lists = rank(scorer, requests, max(depths), eligible, dataset.filter_seen)
    return at_depths(lists, requests.targets, sorted(set(depths)))


def _ways(dataset: Dataset, requests: Requests) -> dict[str, _Way]:
    windows, lengths = windows_of(dataset), window_lengths(dataset)
    found = {ALL_TIME: _Way("all time", _fitted(dataset, Popularity()), "")}
    for window, length in zip(windows, lengths, strict=True):
        found[f"last {window}"] = _Way("window", _fitted(dataset, Popularity(length)))
    if dataset.segment is not None:
        name = f"last {windows[-1]}"
        scorer = _fitted(dataset, SegmentPopularity(dataset.segment, lengths[-1]))
        found[f"{name} by {dataset.config.data.segment}"] = _Way("segment", scorer, name)
    found[HINDSIGHT] = _Way("hindsight", _hindsight(dataset, requests))
    return found


def _fitted(dataset: Dataset, counted: Popularity | SegmentPopularity) -> Scorer:
    cut = dataset.cuts.validation
    counted.fit(dataset.past(cut), dataset.n_queries, dataset.n_items, cut.moment)
    return counted.scores


def _hindsight(dataset: Dataset, requests: Requests) -> Scorer:
    targets = requests.targets
    worth = 1 / np.minimum(targets.lengths, dataset.config.gate.list_k)  # a hit counts more for who wants little
    scores = np.bincount(targets.values, worth[targets.rows], dataset.n_items).astype(np.float32)
    return lambda asked: np.broadcast_to(scores, (len(asked), len(scores)))

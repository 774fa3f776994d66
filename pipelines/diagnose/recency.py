"""How much of the future popularity alone can catch, and whether the recent past catches more than all of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipelines.dataset import Dataset
from pipelines.diagnose.observed import Observed
from pipelines.evaluation.bootstrap import Interval, interval, paired_interval
from pipelines.evaluation.metrics import at_depths
from pipelines.evaluation.ranking import Scorer, rank
from pipelines.tables import Interactions, Requests

REQUESTS = 2_000  # asked at most
ALL_TIME, HINDSIGHT = "all time", "hindsight"
_PRIOR = 1_000.0  # events, spread as they are overall, that a segment's own are blended with


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
    ways = _ways(observed, asked)
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


def _ways(observed: Observed, requests: Requests) -> dict[str, _Way]:
    dataset = observed.dataset
    assert dataset is not None
    cut, items = dataset.cuts.validation, dataset.n_items
    past = dataset.past(cut)
    ever = np.bincount(past.item, past.weight, items)
    found = {ALL_TIME: _Way("all time", _same_for_all(ever), "")}
    name, recent = ALL_TIME, past
    for window, length in zip(observed.windows, observed.window_lengths, strict=True):
        name, recent = f"last {window}", past.between(cut.moment - length, cut.moment)
        counts = np.bincount(recent.item, recent.weight, items)
        # Items level in the window follow all time.
        found[name] = _Way("window", _same_for_all(counts + 0.4 * ever / max(ever.max(), 1.0)))
    if dataset.segment is not None:
        by = f"{name} by {dataset.config.data.segment}"
        found[by] = _Way("segment", _by_segment(dataset.segment, recent, items), name)
    targets = requests.targets
    worth = 1 / np.minimum(targets.lengths, dataset.config.gate.list_k)  # a hit counts more for who wants little
    found[HINDSIGHT] = _Way("hindsight", _same_for_all(np.bincount(targets.values, worth[targets.rows], items)))
    return found


def _same_for_all(counts: np.ndarray) -> Scorer:
    scores = counts.astype(np.float32)
    return lambda requests: np.broadcast_to(scores, (len(requests), len(scores)))


def _by_segment(segment: np.ndarray, recent: Interactions, items: int) -> Scorer:
    overall = np.bincount(recent.item, recent.weight, items)
    share = overall / max(overall.sum(), 1.0)
    segments = int(segment.max(initial=-1)) + 1
    code = segment[recent.query]
    cell = code[code >= 0].astype(np.int64) * items + recent.item[code >= 0]
    counts = np.bincount(cell, recent.weight[code >= 0], segments * items).reshape(segments, items)
    blended = np.concatenate([counts + _PRIOR * share, share[None]]).astype(np.float32)  # the last: unknown segment
    return lambda requests: blended[segment[requests.query]]

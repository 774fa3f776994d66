"""How much segment popularity is mixed in for histories of which length, learned on the validation window.

Each weight of a short list is tried on everyone who is asked for there, and on newcomers, with towers that were fitted
before it. Newcomers are few, so everyone counts as one whose past is hidden, unless an id would give it away. From the
longest histories to the shortest, a bucket takes the weight with the best candidate recall if, paired by request, that
is better for sure than the weight of the longer ones; else it takes theirs. So weights never grow with the history, and
are zero where mixing does not help.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.dataset import Dataset
from pipelines.evaluation.bootstrap import paired_interval
from pipelines.evaluation.metrics import per_request
from pipelines.evaluation.ranking import DotProduct, rank_targets
from pipelines.mixing import Mixed, largest_segments, save_mixing
from pipelines.progress import Progress
from pipelines.requests import requests_of_newcomers
from pipelines.tables import Requests
from pipelines.vectors import Vectors
from serving.mixing import BUCKETS, SHORTEST, Mixing
from towers.backend import tf

WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0)
_WHOSE = ("segment known", "segment unknown")
_LEVEL = 1 - 0.05 / (len(WEIGHTS) - 1)  # as the best of so many is held against nothing
_LEAST = 50  # requests in a bucket from which on it may have a weight of its own
_MOST = 5_000  # requests that are asked, and as many newcomers


@dataclass(frozen=True)
class Tried:
    """Metrics of every weight, [weights, R], for requests with histories in `bucket` [R]."""

    bucket: np.ndarray
    recall: np.ndarray
    ndcg: np.ndarray

    def take(self, rows: np.ndarray) -> Tried:
        """The named requests."""
        return Tried(self.bucket[rows], self.recall[:, rows], self.ndcg[:, rows])

    def gain(self, chosen: np.ndarray) -> float:
        """What the places `chosen` [buckets] in `WEIGHTS` add to recall: the sum over buckets of their means.

        Not the mean over requests, most of which have long histories and are not what mixing is for.
        """
        added = self.recall[chosen[self.bucket], np.arange(len(self.bucket))] - self.recall[0]
        return sum(float(added[self.bucket == bucket].mean()) for bucket in np.unique(self.bucket))


def fit_mixing(dataset: Dataset, vectors: Vectors, out: Path, progress: Progress) -> None:
    """Learn the weights with towers fitted up to the validation cut, and write them to `out`."""
    segments = largest_segments(dataset, dataset.cuts.validation) if dataset.config.mixing.learn else ()
    weights, window = np.zeros((2, len(BUCKETS)), np.float32), None
    learned: list[dict[str, Any]] = []
    if dataset.config.mixing.learn:
        longer = sorted(dataset.trend.windows)[1:]  # than the shortest; the config names them in any order
        asked = _Askers.of(dataset, vectors)
        options = {option: asked.tried(segments, option) for option in (None, *longer)}
        choices = {option: [choose(one) for one in tried] for option, tried in options.items()}
        gains = {
            option: sum(one.gain(chosen) for one, chosen in zip(options[option], choices[option], strict=True))
            for option in options
        }
        window = max(gains, key=lambda option: gains[option])
        weights = np.array(WEIGHTS, np.float32)[choices[window]]
        learned = list(_described(options[window], choices[window]))
        progress.say(f"popularity mixed in: {_summary(weights)}")
    save_mixing(out, Mixing(segments, weights), window, learned)


def choose(tried: Tried) -> np.ndarray:
    """Places in `WEIGHTS`, [buckets], that fall or stay as histories grow."""
    chosen = np.zeros(len(BUCKETS) + 1, np.int64)
    for bucket in reversed(range(len(BUCKETS))):
        floor = chosen[bucket + 1]
        own, shorter = (tried.take(np.flatnonzero(rows)) for rows in (tried.bucket == bucket, tried.bucket < bucket))
        chosen[bucket] = floor
        if len(own.bucket) < _LEAST:
            continue
        best = floor + int(own.recall[floor:].mean(axis=1).argmax())
        harmless = not len(shorter.bucket) or shorter.recall[best].mean() >= shorter.recall[floor].mean()
        better = paired_interval(own.recall[best], own.recall[floor], level=_LEVEL)
        if better.low > 0 and harmless and paired_interval(own.ndcg[best], own.ndcg[floor]).high >= 0:
            chosen[bucket] = best
    return chosen[:-1]


@dataclass(frozen=True)
class _Askers:
    """Who is asked for on the validation window, and the towers' vectors of them."""

    dataset: Dataset
    vectors: Vectors
    parts: Sequence[tuple[Requests, np.ndarray]]

    @classmethod
    def of(cls, dataset: Dataset, vectors: Vectors) -> _Askers:
        start, end, parts = dataset.cuts.validation, dataset.cuts.ranker, []
        told_apart = any(feature.kind == "id" for feature in dataset.config.on("queries"))
        window = dataset.window(start, end) if told_apart else dataset.window_alone(start, end)
        newcomers = requests_of_newcomers(window, dataset.rules(start))
        for requests in (dataset.validation_requests, newcomers):
            requests = requests.drawn(_MOST, dataset.config.seed)
            numbered = replace(requests, context={"row": np.arange(len(requests))})
            parts.append((numbered, vectors.of(requests)))
        return cls(dataset, vectors, parts)

    def tried(self, segments: tuple[str, ...], window: int | None) -> list[Tried]:
        """Every weight for those whose segment has a column, and for everybody as if theirs had none."""
        cut = self.dataset.cuts.validation
        mixed = Mixed.of(self.dataset, cut, Mixing(segments, np.zeros((2, len(BUCKETS)))), window)
        hidden = replace(mixed, column=np.full_like(mixed.column, len(segments)))
        query = np.concatenate([requests.query for requests, _ in self.parts])
        known, everybody = np.flatnonzero(mixed.column[query] < len(segments)), self._judged(hidden)
        return [(self._judged(mixed) if len(known) else everybody).take(known), everybody]

    def _judged(self, mixed: Mixed) -> Tried:
        recall, ndcg = [], []
        for weight in WEIGHTS:
            mixing = replace(mixed.mixing, weights=np.full((2, len(BUCKETS)), weight))
            found = [self._metrics(replace(mixed, mixing=mixing), *part) for part in self.parts]
            recall.append(np.concatenate([one[0] for one in found]))
            ndcg.append(np.concatenate([one[1] for one in found]))
        read = np.concatenate([self._read(requests) for requests, _ in self.parts])
        return Tried(np.searchsorted(SHORTEST, read, side="right") - 1, np.stack(recall), np.stack(ndcg))

    def _read(self, requests: Requests) -> np.ndarray:
        return np.minimum(requests.history.lengths, self.dataset.config.towers.history.length)

    def _metrics(self, mixed: Mixed, requests: Requests, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        config = self.dataset.config

        def queries(part: Requests) -> np.ndarray:
            inputs = (vectors[part.context["row"]], self._read(part).astype(np.int32), mixed.column[part.query])
            return mixed.mixing.extend(*map(tf.constant, inputs)).numpy()

        items = np.concatenate([self.vectors.items, mixed.items], axis=1)
        eligible = self.dataset.eligible(self.dataset.cuts.validation)
        found = rank_targets(DotProduct(queries, items), requests, config.gate.k, eligible, self.dataset.filter_seen)
        recall = per_request(found, requests.targets, config.gate.k)["recall"]
        return recall, per_request(found, requests.targets, config.gate.list_k)["ndcg"]


def _described(tried: Sequence[Tried], choices: Sequence[np.ndarray]) -> Iterator[dict[str, Any]]:
    """What the chosen weights did on the window where they were chosen, by bucket."""
    for whose, one, chosen in zip(_WHOSE, tried, choices, strict=True):
        for bucket, place in enumerate(chosen):
            own = one.take(np.flatnonzero(one.bucket == bucket))
            if len(own.bucket):
                difference = paired_interval(own.recall[place], own.recall[0])
                yield {
                    "segment": whose,
                    "history": BUCKETS[bucket],
                    "requests": len(own.bucket),
                    "weight": WEIGHTS[place],
                    "recall": {"without": own.recall[0].mean(), "difference": asdict(difference)},
                    "ndcg": {"without": own.ndcg[0].mean(), "with": own.ndcg[place].mean()},
                }


def _summary(weights: np.ndarray) -> str:
    """The weights of each bucket in a line."""
    if not weights.any():
        return "none (it helps at no length of history)"
    rows = (f"{whose} {', '.join(f'{weight:g}' for weight in row)}" for whose, row in zip(_WHOSE, weights, strict=True))
    return f"{'; '.join(rows)} (with {', '.join(BUCKETS)} items read)"

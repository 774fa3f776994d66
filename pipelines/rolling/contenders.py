"""Who is replayed, and what of it is refreshed before each step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipelines.baselines.base import Baseline
from pipelines.dataset import Dataset
from pipelines.evaluation.ranking import DotProduct, Scorer, rank
from pipelines.progress import Progress
from pipelines.rolling.steps import Asked, Step
from pipelines.rolling.variants import COUNTS, HISTORIES, INDEX, TOWERS, Refreshed
from pipelines.split import Cut
from pipelines.tables import Candidates
from pipelines.train import refit
from pipelines.vectors import Vectors


@dataclass(frozen=True)
class Contender:
    """A recommender and its variants.

    prepared: the part that `build` makes as of the start of a step, an index or counts; it is called for every step,
    in order.
    """

    name: str
    prepared: str
    build: Callable[[Step], Scorer]
    variants: tuple[Refreshed, ...]


def towers(dataset: Dataset, vectors: Vectors) -> Contender:
    """Fixed towers; refreshing their index lets new items in and counts trends anew."""
    variants = ((), (HISTORIES,), (INDEX,), (HISTORIES, INDEX))
    return Contender("towers", INDEX, lambda step: _tower_scorer(dataset, vectors, step.start), variants)


def retrained_towers(dataset: Dataset, vectors: Vectors, every: int, folder: Path, progress: Progress) -> Contender:
    """Towers that before every so many steps are refitted, from the last ones on, with everything else refreshed.

    The weights of `vectors` change as the steps go by. A replay that was killed takes from `folder` what it had fitted.
    """
    current = vectors

    def record(epoch: int, scalars: Mapping[str, float]) -> None:
        progress.say(f"retrained, epoch {epoch}  loss {scalars['loss']:.4f}")

    def build(step: Step) -> Scorer:
        nonlocal current
        if step.number and step.number % every == 0:
            refit(dataset, vectors.encoded, vectors.model, step.start, folder / str(step.number), progress, record)
            current = replace(vectors, trend=dataset.trend_at(step.start))  # which starts without what is cached
        return _tower_scorer(dataset, current, step.start)

    return Contender("towers", INDEX, build, ((HISTORIES, INDEX, TOWERS),))


def popularity(dataset: Dataset, baseline: Baseline) -> Contender:
    """A popularity; refreshing its counts lets new items in, and histories matter only if seen items are filtered."""

    def build(step: Step) -> Scorer:
        fitted = deepcopy(baseline)
        fitted.fit(dataset.past(step.start), dataset.n_queries, dataset.n_items, step.start.moment)
        return fitted.scores

    filtered: tuple[Refreshed, ...] = ((), (HISTORIES,), (HISTORIES, COUNTS))
    return Contender(baseline.name, COUNTS, build, filtered if dataset.filter_seen else ((), (COUNTS,)))


def lists(
    dataset: Dataset, contender: Contender, asked: Asked, first: tuple[Step, Scorer], now: tuple[Step, Scorer]
) -> Iterator[tuple[Refreshed, Candidates]]:
    """What each variant of a contender recommends in a step.

    first: step 0 and what was built for it, which is where nothing refreshed stands; now: the same of this step.
    """
    for refreshed in contender.variants:
        step, scorer = now if contender.prepared in refreshed else first
        requests = asked.requests if HISTORIES in refreshed else asked.stale
        k, eligible = dataset.config.gate.k, dataset.eligible(step.start)
        yield refreshed, rank(scorer, requests, k, eligible, dataset.filter_seen, source=contender.name)


def _tower_scorer(dataset: Dataset, vectors: Vectors, cut: Cut) -> Scorer:
    items = np.concatenate([vectors.static, dataset.trend_at(cut)], axis=1)
    return DotProduct(vectors.of, items)

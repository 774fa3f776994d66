"""Who is replayed, and what of it is refreshed before each step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.baselines.base import Baseline
from pipelines.dataset import Dataset
from pipelines.evaluation.ranking import DotProduct, Scorer, rank
from pipelines.progress import Progress
from pipelines.rolling.steps import Step, StepRequests
from pipelines.rolling.variants import COUNTS, HISTORIES, INDEX, TOWERS, Refreshed
from pipelines.tables import Candidates, Requests
from pipelines.train import refit
from pipelines.vectors import Vectors

_BLOCK = 512  # requests


@dataclass(frozen=True)
class Contender:
    """A recommender and its variants.

    prepared: the part that `build` makes as of the start of a step, an index or counts; it is called for every step,
    in order. read: what is read of at most `_BLOCK` requests, once for all variants; score: from an index or counts
    and what was read of some requests to the scorer of those requests.
    """

    name: str
    prepared: str
    build: Callable[[Step], Any]
    read: Callable[[Requests], Any]
    score: Callable[[Any, Any], Scorer]
    variants: tuple[Refreshed, ...]


def towers(dataset: Dataset, vectors: Vectors) -> Contender:
    """Fixed towers; refreshing their index lets new items in and counts trends anew."""
    variants = ((), (HISTORIES,), (INDEX,), (HISTORIES, INDEX))
    return Contender("towers", INDEX, lambda step: vectors.items_at(dataset, step.start), vectors.of, _dots, variants)


def retrained_towers(dataset: Dataset, vectors: Vectors, every: int, folder: Path, progress: Progress) -> Contender:
    """Towers that before every so many steps are refitted, from the last ones on, with everything else refreshed.

    The weights of `vectors` change as the steps go by. A replay that was killed takes from `folder` what it had fitted.
    """
    current = vectors

    def record(epoch: int, scalars: Mapping[str, float]) -> None:
        progress.say(f"retrained, epoch {epoch}  loss {scalars['loss']:.4f}")

    def build(step: Step) -> np.ndarray:
        nonlocal current
        if step.number and step.number % every == 0:
            refit(dataset, vectors.encoded, vectors.model, step.start, folder / str(step.number), progress, record)
            current = replace(vectors, trend=dataset.trend_at(step.start))  # which starts without what is cached
        return current.items_at(dataset, step.start)

    return Contender(
        "towers", INDEX, build, lambda requests: current.of(requests), _dots, ((HISTORIES, INDEX, TOWERS),)
    )


def popularity(dataset: Dataset, baseline: Baseline) -> Contender:
    """A popularity; refreshing its counts lets new items in, and histories matter only if seen items are filtered."""

    def build(step: Step) -> Baseline:
        fitted = deepcopy(baseline)
        fitted.fit(dataset.past(step.start), dataset.n_queries, dataset.n_items, step.start.moment)
        return fitted

    filtered: tuple[Refreshed, ...] = ((), (HISTORIES,), (HISTORIES, COUNTS))
    variants = filtered if dataset.filter_seen else ((), (COUNTS,))
    return Contender(baseline.name, COUNTS, build, lambda _: None, lambda fitted, _: fitted.scores, variants)


def lists(
    dataset: Dataset,
    contender: Contender,
    asked: StepRequests,
    first: tuple[Step, Any],
    now: tuple[Step, Any],
    k: int,
) -> Iterator[tuple[Refreshed, Candidates]]:
    """The k items that each variant of a contender recommends in a step.

    first: step 0 and what was built for it, which is where nothing refreshed stands; now: the same of this step.
    """
    for requests, fresh in ((asked.stale, False), (asked.requests, True)):
        variants = [refreshed for refreshed in contender.variants if (HISTORIES in refreshed) == fresh]
        found: dict[Refreshed, list[Candidates]] = {refreshed: [] for refreshed in variants}
        for part in requests.blocks(_BLOCK) if variants else ():
            read = contender.read(part)
            for refreshed in variants:
                step, prepared = now if contender.prepared in refreshed else first
                scorer, eligible = contender.score(prepared, read), dataset.eligible(step.start)
                found[refreshed].append(rank(scorer, part, k, eligible, dataset.filter_seen, source=contender.name))
        for refreshed, parts in found.items():
            yield refreshed, _joined(parts, k, contender.name)


def _joined(parts: list[Candidates], k: int, name: str) -> Candidates:
    nothing = Candidates(np.zeros((0, k), np.int32), np.zeros((0, k), np.float32), name)
    both = [nothing, *parts]
    return Candidates(np.concatenate([one.items for one in both]), np.concatenate([one.scores for one in both]), name)


def _dots(items: np.ndarray, queries: np.ndarray) -> Scorer:
    return DotProduct(lambda part: queries, items)  # of just the requests that were read

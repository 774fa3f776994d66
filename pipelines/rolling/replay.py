"""The replay itself: step by step, every variant answers the same requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from configs.schema import Config
from pipelines.dataset import Dataset
from pipelines.evaluation.metrics import at_depths
from pipelines.progress import Progress
from pipelines.rolling.contenders import Contender, lists
from pipelines.rolling.steps import Lived, Step, StepRequests, ask
from pipelines.rolling.variants import Refreshed
from pipelines.tables import Candidates

Variant = tuple[str, Refreshed]


@dataclass(frozen=True)
class Answered:
    """A step that has been replayed: what was asked, and what each variant recommended."""

    step: Step
    asked: StepRequests
    lists: dict[Variant, Candidates]


def answer(
    dataset: Dataset, steps: Sequence[Step], contenders: Sequence[Contender], progress: Progress
) -> Iterator[Answered]:
    """Live through the steps in order: of what comes after a step's start, its lists know who asks and when alone; and
    what queries did before they ask, where each event is asked for."""
    lived, k = Lived.of(dataset), max(depths(dataset.config))
    first: dict[int, tuple[Step, Any]] = {}
    for step in steps:
        asked = ask(dataset, step, lived)
        found: dict[Variant, Candidates] = {}
        for place, contender in enumerate(contenders):
            now = (step, contender.build(step))
            then = first.setdefault(place, now)
            by_variant = dict(lists(dataset, contender, asked, then, now, k))
            found |= {(contender.name, refreshed): by_variant[refreshed] for refreshed in contender.variants}
        progress.expect(len(steps), f"step {step.number + 1}")  # anew: a fit counts steps of its own
        progress.advance(step.number + 1)
        yield Answered(step, asked, found)


def depths(config: Config) -> tuple[int, int]:
    """Where recall is measured, and NDCG."""
    return config.rolling.k or config.gate.k, config.gate.list_k


class Measured:
    """Metrics of all requests of a replay, R of them in order of the steps.

    step, query: [R]; values: of each variant [metrics, R]; came_since, without_past: of each step, as in
    `StepRequests`.
    """

    def __init__(self, dataset: Dataset, answered: Iterator[Answered]) -> None:
        k, list_k = depths(dataset.config)
        self.metrics = (f"recall@{k}", f"ndcg@{list_k}")
        self.steps: list[Step] = []
        self.came_since: list[np.ndarray] = []
        self.without_past: list[np.ndarray] = []
        queries: list[np.ndarray] = []
        parts: dict[Variant, list[np.ndarray]] = {}
        for one in answered:
            self.steps.append(one.step)
            self.came_since.append(one.asked.came_since)
            self.without_past.append(one.asked.without_past)
            queries.append(one.asked.requests.query)
            for variant, candidates in one.lists.items():
                found = at_depths(candidates, one.asked.requests.targets, sorted({k, list_k}))
                parts.setdefault(variant, []).append(np.stack([found[metric] for metric in self.metrics]))
        self.query = np.concatenate(queries)
        self.step = np.repeat(np.arange(len(queries)), [len(part) for part in queries])
        self.values = {variant: np.concatenate(rows, axis=1) for variant, rows in parts.items()}

"""The replay itself: step by step, every variant answers the same requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from configs.errors import DataError
from pipelines.dataset import Dataset
from pipelines.evaluation.metrics import at_depths
from pipelines.evaluation.ranking import Scorer
from pipelines.progress import Progress
from pipelines.rolling.contenders import Contender, lists
from pipelines.rolling.steps import Asked, Step, ask
from pipelines.rolling.variants import Refreshed
from pipelines.sequences import Sequences
from pipelines.tables import Candidates

Variant = tuple[str, Refreshed]


@dataclass(frozen=True)
class Answered:
    """A step that has been replayed: what was asked, and what each variant recommended."""

    step: Step
    asked: Asked
    lists: dict[Variant, Candidates]


def answer(
    dataset: Dataset, steps: Sequence[Step], contenders: Sequence[Contender], progress: Progress
) -> Iterator[Answered]:
    """Live through the steps in order: of what comes after a step's start, its lists know who asks and when alone."""
    at_cut = Sequences.of(dataset.past(steps[0].start), dataset.n_queries)
    first: dict[int, tuple[Step, Scorer]] = {}
    for step in steps:
        asked = ask(dataset, step, at_cut)
        found: dict[Variant, Candidates] = {}
        for place, contender in enumerate(contenders):
            now = (step, contender.build(step))
            then = first.setdefault(place, now)
            for refreshed, candidates in lists(dataset, contender, asked, then, now):
                found[contender.name, refreshed] = candidates
        progress.expect(len(steps), f"step {step.number + 1}")  # anew: a fit counts steps of its own
        progress.advance(step.number + 1)
        yield Answered(step, asked, found)


class Measured:
    """Metrics of all requests of a replay, R of them in order of the steps.

    step, query: [R]; values: of each variant [metrics, R].
    """

    def __init__(self, dataset: Dataset, answered: Iterator[Answered]) -> None:
        gate = dataset.config.gate
        self.metrics = (f"recall@{gate.k}", f"ndcg@{gate.list_k}")
        self.steps: list[tuple[Step, Asked]] = []
        parts: dict[Variant, list[np.ndarray]] = {}
        for one in answered:
            self.steps.append((one.step, one.asked))
            for variant, candidates in one.lists.items():
                found = at_depths(candidates, one.asked.requests.targets, sorted({gate.k, gate.list_k}))
                parts.setdefault(variant, []).append(np.stack([found[metric] for metric in self.metrics]))
        counts = [len(asked.requests) for _, asked in self.steps]
        if not sum(counts):
            raise DataError(
                f"rolling: in none of the {len(counts)} steps does a query with a past take something new; expected at "
                "least one request: choose a longer rolling.step, or move split.test"
            )
        self.step = np.repeat(np.arange(len(counts)), counts)
        self.query = np.concatenate([asked.requests.query for _, asked in self.steps])
        self.values = {variant: np.concatenate(rows, axis=1) for variant, rows in parts.items()}

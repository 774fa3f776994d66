"""Events to learn from and requests to be judged on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.baselines.base import Baseline
from pipelines.dataset import Dataset
from pipelines.evaluation.ranking import rank
from pipelines.split import Cut
from pipelines.tables import Candidates, Interactions, Requests


@dataclass(frozen=True)
class Fold:
    """past: the events that may be known at `now`; eligible: bool [n_items], the catalogue at that moment."""

    past: Interactions
    now: int
    n_queries: int
    n_items: int
    requests: Requests
    eligible: np.ndarray
    filter_seen: bool = True

    @classmethod
    def of(cls, dataset: Dataset, cut: Cut, requests: Requests) -> Fold:
        """The past of a cut and `requests` that follow it."""
        sizes = dataset.n_queries, dataset.n_items
        return cls(dataset.past(cut), cut.moment, *sizes, requests, dataset.eligible(cut), dataset.filter_seen)

    def fit(self, baseline: Baseline) -> None:
        """Fit on the past."""
        baseline.fit(self.past, self.n_queries, self.n_items, self.now)

    def ranked(self, baseline: Baseline, k: int) -> Candidates:
        """The k best items of each request by a fitted baseline."""
        return rank(baseline.scores, self.requests, k, self.eligible, self.filter_seen, source=baseline.name)

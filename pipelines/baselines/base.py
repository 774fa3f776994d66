"""What every baseline offers."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np

from pipelines.tables import Interactions, Requests


class Baseline(Protocol):
    """A recommender that is fitted on past events and scores the whole catalogue for a request.

    `scores` can be given to `pipelines.evaluation.ranking.rank` as it is.
    """

    name: str

    def fit(self, interactions: Interactions, n_queries: int, n_items: int, now: int) -> None:
        """Learn from the events before `now` (on the events' time axis); later ones are not looked at."""
        ...

    def scores(self, requests: Requests) -> np.ndarray:
        """Scores of all N items for b requests, float32 [b, N], higher is better; it may be read-only.

        A request's `query` may be unknown to the fit (-1, or a row without events) and its history empty.
        """
        ...


@runtime_checkable
class Variable(Protocol):
    """A baseline that, once fitted, may take other settings for less than another fit."""

    def vary(self, **settings: Any) -> bool:
        """Take these settings as if fitted with them; False, and nothing changed, where that needs a fit."""
        ...


def varied(baseline: Baseline, settings: dict[str, Any]) -> bool:
    """Whether a fitted baseline could take these settings, and did."""
    return isinstance(baseline, Variable) and baseline.vary(**settings)

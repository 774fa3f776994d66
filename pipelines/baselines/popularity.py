"""Popularity: the same list for everyone, or for everyone in a segment."""

from __future__ import annotations

import numpy as np

from pipelines.tables import Interactions, Requests


class Popularity:
    """Items by the summed weight of their events: all of them, or those of the last `window`.

    window: length of the period that ends at the fit's `now` (seconds where the data has a clock, else order
    numbers), None for all time. Items level in the window follow all-time popularity. `name` is that of the
    results.
    """

    def __init__(self, window: int | None = None, name: str = "popularity") -> None:
        if window is not None and window <= 0:
            raise ValueError(f"window: got {window}, expected a positive length or None")
        self.window = window
        self.name = name

    def fit(self, interactions: Interactions, n_queries: int, n_items: int, now: int) -> None:
        """Count the events before `now`."""
        self.counts = windowed_counts(interactions, n_items, now, self.window).astype(np.float32)

    def scores(self, requests: Requests) -> np.ndarray:
        """The counts, repeated for every request (read-only), float32 [b, N]."""
        return np.broadcast_to(self.counts, (len(requests), len(self.counts)))


class SegmentPopularity:
    """Items by their share of the events of the query's segment, drawn towards their share overall.

    segment: int [n_queries], -1 where it is unknown. A segment's own events are blended with `prior` events
    spread as they are overall (a Dirichlet prior), so that a small segment stays close to the overall shares
    and an unknown one has exactly those. window and name: as in `Popularity`.
    """

    def __init__(
        self,
        segment: np.ndarray,
        window: int | None = None,
        prior: float = 1000.0,
        name: str = "segment popularity",
    ) -> None:
        if prior <= 0:
            raise ValueError(f"prior: got {prior}, expected a positive number of events")
        self.segment = segment
        self.window = window
        self.prior = prior
        self.name = name

    def fit(self, interactions: Interactions, n_queries: int, n_items: int, now: int) -> None:
        """Count the events before `now`, overall and in each segment."""
        overall = windowed_counts(interactions, n_items, now, self.window)
        share = overall / max(overall.sum(), 1.0)
        recent = _recent(interactions, now, self.window)
        segment = self.segment[recent.query]
        segments = int(self.segment.max(initial=-1)) + 1
        known = segment >= 0
        cell = segment[known].astype(np.int64) * n_items + recent.item[known]
        counts = np.bincount(cell, recent.weight[known], segments * n_items).reshape(segments, n_items)
        size = counts.sum(axis=1, keepdims=True)
        blended = (counts + self.prior * share) / (size + self.prior)
        # The overall shares come last, where segment -1 finds them.
        self.shares = np.concatenate([blended, share[None]]).astype(np.float32)

    def scores(self, requests: Requests) -> np.ndarray:
        """Shares of the events, float32 [b, N]."""
        known = (requests.query >= 0) & (requests.query < len(self.segment))
        return self.shares[np.where(known, self.segment[np.where(known, requests.query, 0)], -1)]


def windowed_counts(interactions: Interactions, n_items: int, now: int, window: int | None) -> np.ndarray:
    """Summed weight of each item in [now - window, now), ties broken by that before `now`, float64 [n_items].

    The tie-break adds at most 1e-6 for each unit of all-time weight, and at most 0.4 in all.
    """
    all_time = _counts(interactions.before(now), n_items)
    if window is None:
        return all_time
    step = min(1e-6, 0.4 / max(all_time.max(initial=0.0), 1.0))
    return _counts(_recent(interactions, now, window), n_items) + step * all_time


def _recent(interactions: Interactions, now: int, window: int | None) -> Interactions:
    return interactions.before(now) if window is None else interactions.between(now - window, now)


def _counts(interactions: Interactions, n_items: int) -> np.ndarray:
    return np.bincount(interactions.item, interactions.weight, n_items)

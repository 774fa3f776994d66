"""Popularity: the same list for everyone, or for everyone in a segment."""

from __future__ import annotations

import numpy as np

from pipelines.baselines.matrix import item_counts
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
        self.counts = self._count(interactions.before(now), n_items, now).astype(np.float32)

    def scores(self, requests: Requests) -> np.ndarray:
        """The counts, repeated for every request (read-only), float32 [b, N]."""
        return np.broadcast_to(self.counts, (len(requests), len(self.counts)))

    def table(self) -> np.ndarray:
        """What to serve, float32 [1, N]: the scores of everyone; 0 for an item without events."""
        return self.counts[None]

    def _count(self, past: Interactions, n_items: int, now: int) -> np.ndarray:
        return windowed_counts(past, n_items, now, self.window)


class DecayedPopularity(Popularity):
    """Items by the summed weight of all their events, each of which counts half as much after every `half_life`.

    half_life: on the events' time axis. "DecayPop" of Ji et al., "A re-visit of the popularity baseline in
    recommender systems", 2020. Items whose events have all but faded (100 half-lives) follow all-time popularity.
    """

    def __init__(self, half_life: float, name: str = "popularity decaying") -> None:
        if half_life <= 0:
            raise ValueError(f"half_life: got {half_life}, expected a positive length")
        super().__init__(name=name)
        self.half_life = half_life

    def _count(self, past: Interactions, n_items: int, now: int) -> np.ndarray:
        decayed = np.exp2((past.time - now) / self.half_life)
        return np.bincount(past.item, past.weight * decayed, n_items) + 1e-30 * item_counts(past, n_items)


class DiscountedPopularity(Popularity):
    """Recent popularity divided by a power of all-time popularity: what is taken now, if not by everyone already.

    Each event of the window weighs (1 / N_i)^power, with N_i the all-time weight of its item: the weights of
    popularity-stratified recall (Steck, "Item popularity and recommendation accuracy", 2011), whose best list for
    everyone this is. power 0 is the window's popularity, 1 the share of an item's events that are recent.
    """

    def __init__(self, window: int | None, power: float = 0.2, name: str = "popularity novelty-discounted") -> None:
        if not 0 <= power <= 1:
            raise ValueError(f"power: got {power}, expected 0 to 1")
        super().__init__(window, name)
        self.power = power

    def _count(self, past: Interactions, n_items: int, now: int) -> np.ndarray:
        return super()._count(past, n_items, now) / np.maximum(item_counts(past, n_items), 1) ** self.power


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

    def table(self) -> np.ndarray:
        """What to serve, float32 [segments + 1, N]: each segment's shares, the overall ones last."""
        return self.shares

    def scores(self, requests: Requests) -> np.ndarray:
        """Shares of the events, float32 [b, N]."""
        known = (requests.query >= 0) & (requests.query < len(self.segment))
        return self.shares[np.where(known, self.segment[np.where(known, requests.query, 0)], -1)]


def windowed_counts(interactions: Interactions, n_items: int, now: int, window: int | None) -> np.ndarray:
    """Summed weight of each item in [now - window, now), ties broken by that before `now`, float64 [n_items].

    The tie-break adds at most 1e-6 for each unit of all-time weight, and at most 0.4 in all.
    """
    all_time = item_counts(interactions.before(now), n_items)
    if window is None:
        return all_time
    step = min(1e-6, 0.4 / max(all_time.max(initial=0.0), 1.0))
    return item_counts(_recent(interactions, now, window), n_items) + step * all_time


def _recent(interactions: Interactions, now: int, window: int | None) -> Interactions:
    return interactions.before(now) if window is None else interactions.between(now - window, now)

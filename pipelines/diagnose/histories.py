"""How much is known of those who ask: lengths and lives of histories, and newcomers in each window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.dataset import Dataset
from pipelines.diagnose.observed import Observed
from pipelines.split import WINDOWS, Cut

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
GROUPS = ((0, 0), (1, 1), (2, 4), (5, 19), (20, 99), (100, None))


@dataclass(frozen=True)
class WindowPart:
    """A window of the log. events and queries in it; without a past, as shares: of the events, those of queries that
    have none before the window (cold_queries), those of queries that have none even at the event (first_events), and
    those on items that have none before the window (cold_items); of the queries, those with a past (returning)."""

    name: str
    start: int
    end: int
    events: int
    queries: int
    cold_queries: float
    first_events: float
    cold_items: float
    returning: float


@dataclass(frozen=True)
class Histories:
    """lengths: events of a query at each of QUANTILES; life: median time from a query's first event to its last, of
    those with two events or more; windows: validation, ranker and test, none where the log cannot be cut.

    at_test: of the queries active after the test cut, the share with so many events before it, by GROUPS.
    """

    lengths: tuple[int, ...]
    life: float
    windows: tuple[WindowPart, ...] = ()
    at_test: tuple[float, ...] = ()

    @property
    def test(self) -> WindowPart | None:
        """The window that everything is judged on."""
        return self.windows[-1] if self.windows else None


def histories(observed: Observed) -> Histories:
    """Measure lengths and lives, and what is new in each window."""
    log, queries = observed.log, observed.n_queries
    counts = np.bincount(log.query, minlength=queries)
    lengths = tuple(int(n) for n in np.quantile(counts[counts > 0], QUANTILES, method="lower"))
    first, last = np.full(queries, np.iinfo(np.int64).max), np.zeros(queries, np.int64)
    first[log.query[::-1]] = log.time[::-1]  # the log is by time: what is written last stays
    last[log.query] = log.time
    lives = (last - first)[counts > 1]
    life = float(np.median(lives)) if len(lives) else float("nan")
    if observed.dataset is None:
        return Histories(lengths, life)
    cuts = observed.dataset.cuts
    edges = (cuts.validation, cuts.ranker, cuts.test, cuts.end)
    windows = [_window(observed.dataset, *part) for part in zip(WINDOWS[1:], edges, edges[1:], strict=False)]
    return Histories(lengths, life, tuple(windows), _at_cut(observed.dataset))


def group_name(group: tuple[int, int | None]) -> str:
    """A range of lengths as people write it: 0, 2-4, 100+."""
    low, high = group
    return f"{low}+" if high is None else str(low) if low == high else f"{low}-{high}"


def _window(dataset: Dataset, name: str, cut: Cut, end: Cut) -> WindowPart:
    past, window = dataset.past(cut), dataset.cuts.between(dataset.log, cut, end)
    known = np.bincount(past.query, minlength=dataset.n_queries) > 0
    there = np.bincount(past.item, minlength=dataset.n_items) > 0
    asking, first = np.unique(window.query, return_index=True)
    newcomers = ~known[asking]
    return WindowPart(
        name=name,
        start=cut.moment,
        end=end.moment,
        events=len(window),
        queries=len(asking),
        cold_queries=float((~known[window.query]).mean()),
        first_events=len(first[newcomers]) / len(window),
        cold_items=float((~there[window.item]).mean()),
        returning=1 - float(newcomers.mean()),
    )


def _at_cut(dataset: Dataset) -> tuple[float, ...]:
    cuts = dataset.cuts
    asking = np.unique(cuts.between(dataset.log, cuts.test, cuts.end).query)
    length = np.bincount(dataset.past(cuts.test).query, minlength=dataset.n_queries)[asking]
    return tuple(
        float(((length >= low) & (length <= (length.max() if high is None else high))).mean()) for low, high in GROUPS
    )

"""The layout and the effort that reach the recall asked for in the least time, found by measuring.

Half of the query vectors choose, the other half judges the choice. A setting reaches the target when the lower end of
its recall's interval does, so few queries cost time, not recall. One number of the layout is changed at a time, and
kept where it saves time (coordinate descent); each layout's efforts are bisected.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipelines.candidates import search
from pipelines.evaluation.bootstrap import Interval, interval
from pipelines.index.overlap import overlap_by_row
from pipelines.index.record import IndexTuning, Trial
from pipelines.index.truth import best_rows
from serving import searchers
from serving.searchers import Searcher, build_searcher, kind_of, sharded_layout
from towers.backend import tf, traced

_TIMED = 200  # searches, after a tenth of them to warm up
_SAVES = 0.97  # of the time so far, or less: what another layout must bring to be kept

Found = tuple[Searcher, IndexTuning]


@dataclass(frozen=True)
class Goal:
    """The recall at k that a searcher is to reach, and how many shards it is to be built in."""

    k: int
    recall: float
    shards: int = 1


def tune(
    kind: str, vectors: np.ndarray, queries: np.ndarray, goal: Goal, builds: int, advance: Callable[[], None]
) -> Found:
    """The tuned searcher over vectors [N, D], for query vectors [Q, D] or [Q, m, D], and what was tried.

    kind as `build_searcher` has it; builds: layouts tried at most; `advance` is called after each.
    """
    kind = kind_of(kind, len(vectors))
    searcher = build_searcher(kind, vectors, sharded_layout(kind, len(vectors), goal.shards))
    if searcher.effort is None:
        advance()
        return searcher, IndexTuning(kind, goal.k, goal.recall, (), 0, Interval(1.0, 1.0, 1.0, len(queries)))
    bench = _Bench(vectors, queries, goal)
    best = bench.cheapest(searcher)
    advance()
    untried = list(searcher.layouts())
    for _ in range(builds - 1):
        if not untried:
            break
        other = build_searcher(kind, vectors, untried.pop(0))
        found = bench.cheapest(other)
        if bench.better(found, best):
            best, searcher, other = found, other, searcher
            untried = [layout for layout in searcher.layouts() if layout not in bench.layouts]
        other.release()
        advance()
    searcher.effort = bench.efforts[best]
    return searcher, IndexTuning(kind, goal.k, goal.recall, tuple(bench.trials), best, bench.judged(searcher))


class _Bench:
    """Measures efforts, each at most once, and remembers them by place."""

    def __init__(self, vectors: np.ndarray, queries: np.ndarray, goal: Goal) -> None:
        self._k, self._target = goal.k, goal.recall
        self._queries, self._held_out = queries[::2], queries[1::2]
        self._truth = [best_rows(part, vectors, goal.k) for part in (self._queries, self._held_out)]
        self.trials: list[Trial] = []
        self.efforts: list[Any] = []
        self.layouts: list[Any] = []

    def cheapest(self, searcher: Searcher) -> int:
        """The place of this searcher's quickest trial that reaches the target, or else of the closest."""
        self.layouts.append(searcher.layout)
        first = len(self.trials)
        for ladder in searcher.efforts(self._k):
            self._climb(searcher, ladder)
        return min(range(first, len(self.trials)), key=self._worth)

    def better(self, one: int, other: int) -> bool:
        """Whether trial `one` is worth leaving `other` for."""
        (missed, cost), (missed_before, cost_before) = self._worth(one), self._worth(other)
        return (missed, cost) < (missed_before, _SAVES * cost_before if not missed_before else cost_before)

    def judged(self, searcher: Searcher) -> Interval:
        """Recall on the queries that played no part in the choice."""
        return interval(overlap_by_row(search(searcher, self._held_out, self._k)[1], self._truth[1]))

    def _worth(self, place: int) -> tuple[float, float]:
        """By how much a trial misses the target, and its time: smaller is better."""
        return max(0.0, self._target - self.trials[place].low), self.trials[place].microseconds

    def _climb(self, searcher: Searcher, ladder: Sequence[Any]) -> None:
        """Bisect for the lowest effort that reaches the target."""
        low, high = 0, len(ladder) - 1
        while low <= high:
            middle = (low + high) // 2
            if self._reaches(searcher, ladder[middle]):
                high = middle - 1
            else:
                low = middle + 1

    def _reaches(self, searcher: Searcher, effort: Any) -> bool:
        searcher.effort = effort
        recalls = interval(overlap_by_row(search(searcher, self._queries, self._k)[1], self._truth[0]))
        microseconds = 1e6 * seconds(searcher, self._queries, self._k)
        layout, effort_numbers = asdict(searcher.layout), asdict(effort)
        self.trials.append(Trial(layout, effort_numbers, recalls.mean, recalls.low, microseconds, searcher.nbytes))
        self.efforts.append(effort)
        return recalls.low >= self._target


def seconds(searcher: Searcher, queries: np.ndarray, k: int) -> float:
    """Median seconds of a search in the graph for one of the query vectors, each asked alone."""

    @traced
    def one(query: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return searchers.search(searcher, query, tf.constant(k))

    asked = [tf.constant(queries[place % len(queries)][None]) for place in range(_TIMED + _TIMED // 10)]
    spent = []
    for query in asked:
        started = time.perf_counter()
        one(query)
        spent.append(time.perf_counter() - started)
    return float(np.median(spent[-_TIMED:]))

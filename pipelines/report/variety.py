"""What changes besides accuracy: how varied, novel and fresh the lists are, against what they would replace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipelines.evaluation.bootstrap import Interval
from pipelines.evaluation.leaderboard import Leaderboard
from pipelines.evaluation.scoreboard import CATALOGUE

NAMES = {
    "category_diversity": "category diversity",
    "embedding_diversity": "vector diversity",
    "novelty": "novelty (bits)",
    "serendipity": "serendipity",
    "fresh_share": "share of fresh items",
    "age": "age of items",
    "coverage": "catalogue coverage",
    "effective_items": "effective items",
    "gini": "concentration (Gini)",
}
"""Metrics of a list as people call them, in the order shown."""
HEADLINE = ("category_diversity", "embedding_diversity", "novelty", "coverage")
"""Those that a summary names."""
_LESS_IS_MORE = ("gini", "age")


@dataclass(frozen=True)
class Change:
    """One metric of the final list against a rival's: difference is ours - theirs, paired by request, None for what
    is said of all lists together."""

    metric: str
    rival: str
    ours: float
    theirs: float
    difference: Interval | None

    @property
    def name(self) -> str:
        """The metric as people call it."""
        return NAMES[self.metric]

    @property
    def wider(self) -> bool:
        """Whether lists became more varied, surely where that can be said."""
        return min(self._gains) > 0

    @property
    def narrower(self) -> bool:
        """Whether lists became less varied, surely where that can be said."""
        return max(self._gains) < 0

    @property
    def _gains(self) -> tuple[float, float]:
        """Bounds of what is gained in variety."""
        found, sign = self.difference, -1 if self.metric in _LESS_IS_MORE else 1
        low, high = (self.ours - self.theirs,) * 2 if found is None else (found.low, found.high)
        return sign * low, sign * high


def changes(board: Leaderboard) -> tuple[Change, ...]:
    """The final list against the strongest baseline and the strongest popularity, in all that is known of both."""
    if "final list" not in board.contenders:
        return ()
    return tuple(change for rival in dict.fromkeys(reversed(board.rivals)) for change in _against(rival, board))


def qualities(board: Leaderboard, contender: str) -> dict[str, float]:
    """Everything that is known of a contender's lists besides accuracy, by metric, in the order shown."""
    known = {name: board.quality(contender, name).mean for name in board.qualities} | board.shown(contender)
    return {name: known[name] for name in NAMES if name in known}


def _against(rival: str, board: Leaderboard, ours: str = "final list") -> Iterator[Change]:
    shown, theirs = board.shown(ours), board.shown(rival)
    for name in NAMES:
        if name in CATALOGUE:
            yield Change(name, rival, shown[name], theirs[name], None)
        elif name in board.qualities:
            gap = board.quality_difference(ours, rival, name)
            if not np.isnan(gap.mean):
                yield Change(name, rival, board.quality(ours, name).mean, board.quality(rival, name).mean, gap)

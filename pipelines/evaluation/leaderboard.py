"""The leaderboard: the scoreboard, and how varied, novel and fresh everyone's lists are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.evaluation.bootstrap import Interval, intervals, paired_intervals
from pipelines.evaluation.compared import samples_for, strongest, strongest_popularity
from pipelines.evaluation.results import Results
from pipelines.evaluation.scoreboard import Scoreboard, listed, scoreboard
from pipelines.evaluation.variety import ItemFacts, per_list
from pipelines.tables import Requests

_NAMES, _COUNTS = ("contenders", "baselines", "rivals", "metrics", "qualities"), ("requests", "list_k")
_FILE = "leaderboard.npz"


@dataclass(frozen=True)
class Leaderboard(Scoreboard):
    """A scoreboard with V qualities of everyone's first list_k places (those of `variety.per_list`).

    variety [C, V, 3]: mean, low and high as in the scoreboard; variety_differences [C, 2, V, 3] to the `rivals`, the
    strongest popularity and the strongest baseline by NDCG of the list, leaving out requests of which a quality cannot
    be said on both sides.
    """

    rivals: tuple[str, str]
    qualities: tuple[str, ...]
    variety: np.ndarray
    variety_differences: np.ndarray

    def quality(self, contender: str, quality: str) -> Interval:
        """The mean of a quality; NaN where it cannot be said of any list."""
        return self._interval(self.variety[self.contenders.index(contender), self.qualities.index(quality)])

    def quality_difference(self, contender: str, rival: str, quality: str) -> Interval:
        """The mean difference to one of `rivals`; above 0 the contender has more."""
        row, other = self.contenders.index(contender), self.rivals.index(rival)
        return self._interval(self.variety_differences[row, other, self.qualities.index(quality)])


def leaderboard(
    baselines: Mapping[str, Results],
    ours: Mapping[str, Results],
    requests: Requests,
    list_k: int,
    eligible: np.ndarray,
    facts: ItemFacts,
    obvious: str,
) -> Leaderboard:
    """Compare; eligible: [N] bool, what could be recommended; obvious: the baseline that serendipity is against."""
    rivals = strongest_popularity(baselines, f"ndcg@{list_k}"), strongest(baselines, f"ndcg@{list_k}")
    lists = {name: listed(result, list_k) for name, result in {**baselines, **ours}.items()}
    qualities = {name: per_list(one, requests, list_k, facts, lists[obvious]) for name, one in lists.items()}
    variety, variety_differences = _variety(qualities, rivals)
    return Leaderboard(
        **vars(scoreboard(baselines, ours, list_k, eligible)),
        rivals=rivals,
        qualities=tuple(qualities[obvious]),
        variety=variety,
        variety_differences=variety_differences,
    )


def save_leaderboard(found: Leaderboard, folder: Path) -> None:
    """Write leaderboard.npz."""
    np.savez_compressed(folder / _FILE, **{name: np.array(value) for name, value in vars(found).items()})  # type: ignore[arg-type]


def load_leaderboard(folder: Path) -> Leaderboard:
    """Read what `save_leaderboard` wrote."""
    with np.load(folder / _FILE) as saved:
        found = {name: saved[name] for name in saved.files}
    names = {name: tuple(map(str, found.pop(name))) for name in _NAMES}
    counts = {name: int(found.pop(name)) for name in _COUNTS}
    return Leaderboard(**names, **counts, **found)  # type: ignore[arg-type]


def _variety(qualities: Mapping[str, Mapping[str, np.ndarray]], rivals: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Intervals [C, V, 3] of the means and [C, len(rivals), V, 3] of the differences, where both can be said."""
    table = np.stack([np.stack(list(of.values())) for of in qualities.values()])
    contenders, kinds, n = table.shape
    flat, samples = table.reshape(-1, n), samples_for(n)
    against = [
        paired_intervals(flat, np.tile(table[list(qualities).index(rival)], (contenders, 1)), samples=samples)
        for rival in rivals
    ]
    shape = (contenders, kinds, 3)
    return (
        _numbers(intervals(flat, samples=samples)).reshape(shape),
        np.stack([_numbers(found).reshape(shape) for found in against], axis=1),
    )


def _numbers(found: Sequence[Interval]) -> np.ndarray:
    return np.array([[one.mean, one.low, one.high] for one in found])

"""What tuning a searcher tried and chose, as it stands in tuning.json."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.evaluation.bootstrap import Interval

_FILE, _CORE_FILE = "tuning.json", "tuning-core.json"
ENOUGH = 100  # held-out query vectors; with fewer nothing can be told of a recall


@dataclass(frozen=True)
class Trial:
    """One layout at one effort (numbers by name; none for exact search) on Q query vectors.

    recall: mean share of the k best that were found, and low, the lower end of its 95 % interval; microseconds: the
    median search for one query in the graph; nbytes: what it reads from.
    """

    layout: dict[str, float]
    effort: dict[str, float]
    recall: float
    low: float
    microseconds: float
    nbytes: int


@dataclass(frozen=True)
class Filtered:
    """Recall at k with one value of one filter asked for, and low, the lower end of its 95 % interval; items: how many
    have the value."""

    filter: str
    value: str
    items: int
    recall: float
    low: float


@dataclass(frozen=True)
class IndexTuning:
    """All trials, which of them is in use, its recall at k on query vectors that played no part in the choice, and that
    under filters."""

    kind: str
    k: int
    target: float
    trials: tuple[Trial, ...]
    chosen: int
    held_out: Interval
    filtered: tuple[Filtered, ...] = ()

    def served(self, effort: Any, filtered: tuple[Filtered, ...]) -> IndexTuning:
        """As it is served: with the effort (a dataclass of numbers, or None) that was settled on after all trials."""
        if effort is None:
            return self
        trials = list(self.trials)
        trials[self.chosen] = replace(trials[self.chosen], effort=asdict(effort))
        return replace(self, trials=tuple(trials), filtered=filtered)

    @property
    def verdict(self) -> str:
        """Whether the target is met on held-out queries: "met", "missed" or "cannot tell"."""
        if self.kind == "exact":
            return "met"
        if self.held_out.n < ENOUGH or self.held_out.mean < self.target <= self.held_out.high:
            return "cannot tell"
        return "met" if self.held_out.mean >= self.target else "missed"

    @property
    def pareto(self) -> tuple[int, ...]:
        """Places of the trials that no other betters in recall, time and bytes at once."""
        return tuple(
            place for place, one in enumerate(self.trials) if not any(_betters(other, one) for other in self.trials)
        )

    @property
    def table(self) -> tuple[int, ...]:
        """Places worth reading, quickest first: those that no other betters, and the one in use."""
        return tuple(sorted({*self.pareto, self.chosen}, key=lambda place: self.trials[place].microseconds))


def _betters(one: Trial, other: Trial) -> bool:
    ours, theirs = ((-trial.recall, trial.microseconds, trial.nbytes) for trial in (one, other))
    return ours != theirs and all(a <= b for a, b in zip(ours, theirs, strict=True))


def save_index_tuning(tuning: IndexTuning, folder: Path, core: bool = False) -> None:
    """Write tuning.json, or what was tried of the second searcher, of core operations, beside it."""
    (folder / (_CORE_FILE if core else _FILE)).write_text(json.dumps(asdict(tuning), indent=2) + "\n")


def load_index_tuning(folder: Path) -> IndexTuning:
    """Read what `save_index_tuning` wrote."""
    return _read(folder / _FILE)


def load_core_tuning(folder: Path) -> IndexTuning | None:
    """The same of the second searcher; None where none was made."""
    return _read(folder / _CORE_FILE) if (folder / _CORE_FILE).is_file() else None


def _read(path: Path) -> IndexTuning:
    found = json.loads(path.read_text())
    trials = tuple(Trial(**trial) for trial in found.pop("trials"))
    filtered = tuple(Filtered(**one) for one in found.pop("filtered", ()))
    held_out = Interval(**found.pop("held_out"))
    return IndexTuning(**found, trials=trials, held_out=held_out, filtered=filtered)

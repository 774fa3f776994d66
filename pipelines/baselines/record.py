"""What the baselines stage tried, chose and left out, as it stands in baselines.json."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_FILE = "baselines.json"


@dataclass(frozen=True)
class Trial:
    """One setting on the validation requests: mean ndcg@list_k and recall@k, seconds to fit and rank, and the RMSE
    of a model of ratings where any of its targets is rated."""

    settings: dict[str, Any]
    ndcg: float
    recall: float
    seconds: float
    rmse: float | None = None

    @property
    def score(self) -> float:
        """What is chosen by: the geometric mean of both, as one setting serves both columns."""
        return (self.ndcg * self.recall) ** 0.5


@dataclass(frozen=True)
class Row:
    """A contender of results.npz, by its name there. tuned: its settings are not the reference's but the best of the
    family's trials; seconds: to fit it, or to vary the one before, and to rank the test requests."""

    name: str
    settings: dict[str, Any]
    tuned: bool
    seconds: float


@dataclass(frozen=True)
class FamilyRecord:
    """A family: why it was left out ("" where it was not), its trials (none where there was nothing to choose), and
    its rows, the reference first."""

    name: str
    left_out: str = ""
    trials: tuple[Trial, ...] = ()
    rows: tuple[Row, ...] = ()

    @property
    def best(self) -> dict[str, Any]:
        """The settings with the highest score, of those level with each other the first; of untried ones the first
        row's."""
        if not self.trials:
            return self.rows[0].settings if self.rows else {}
        return max(self.trials, key=lambda trial: trial.score).settings


@dataclass(frozen=True)
class RatingRow:
    """How far a model of ratings is off on the `pairs` rated targets of the test requests, and how well its order of
    the catalogue does on the same requests (None for the mean, which orders nothing)."""

    name: str
    rmse: float | None
    mae: float | None
    pairs: int
    ndcg: float | None
    recall: float | None


@dataclass(frozen=True)
class Tuning:
    """All of it. budget: the most settings that a family tried; requests: how many validation requests judged them;
    criterion: what they were chosen by; ratings: empty without models of ratings."""

    budget: int
    requests: int
    criterion: str
    families: tuple[FamilyRecord, ...]
    ratings: tuple[RatingRow, ...] = ()

    @property
    def left_out(self) -> dict[str, str]:
        """Why, by the name of each family that did not run."""
        return {family.name: family.left_out for family in self.families if family.left_out}

    def row(self, name: str) -> tuple[FamilyRecord, Row]:
        """A contender by its name in the results, and its family. Raises KeyError for another name."""
        for family in self.families:
            for row in family.rows:
                if row.name == name:
                    return family, row
        raise KeyError(name)


def save_tuning(tuning: Tuning, folder: Path) -> None:
    """Write baselines.json."""
    (folder / _FILE).write_text(json.dumps(asdict(tuning), indent=1) + "\n", encoding="utf-8")


def load_tuning(folder: Path) -> Tuning:
    """Read what the baselines stage wrote into its folder."""
    found = json.loads((folder / _FILE).read_text(encoding="utf-8"))
    families = tuple(
        FamilyRecord(
            one["name"],
            one["left_out"],
            tuple(Trial(**trial) for trial in one["trials"]),
            tuple(Row(**row) for row in one["rows"]),
        )
        for one in found.pop("families")
    )
    ratings = tuple(RatingRow(**row) for row in found.pop("ratings"))
    return Tuning(**found, families=families, ratings=ratings)

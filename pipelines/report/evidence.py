"""What a decision rests on: everything that a run has measured, some of which may not be there yet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from configs.schema import Config
from pipelines.evaluation.bootstrap import Interval
from pipelines.report.experiment import Experiment
from pipelines.report.parts import Ranking, Training
from pipelines.report.regressions import Regression
from pipelines.report.standings import Standings
from pipelines.report.variety import Change
from pipelines.report.wording import change, metric_name, number
from pipelines.verdicts import Verdict


@dataclass(frozen=True)
class Comparison:
    """A stage of the model against a baseline on a metric, paired by request."""

    name: str
    metric: str
    rival: str
    ours: float
    theirs: float
    difference: Interval

    @property
    def sentence(self) -> str:
        """Who is ahead, by how much and how surely."""
        low, high = self.difference.low, self.difference.high
        many = self.name == "towers"
        if low > 0:
            verb, sure = "beat" if many else "beats", "the 95% interval lies above 0"
        elif high < 0:
            verb, sure = "lose to" if many else "loses to", "the 95% interval lies below 0"
        else:
            verb, sure = "cannot be told from", "the 95% interval holds 0"
        return (
            f"The {self.name} {verb} {self.rival} on {metric_name(self.metric)}: {number(self.ours)} against "
            f"{number(self.theirs)}, {change(self.difference)}; {sure}."
        )


@dataclass(frozen=True)
class Evidence:
    """missing: names of the stages that have not run; run: the run's folder as a person would type it."""

    config: Config
    run: str
    missing: tuple[str, ...]
    board: Standings | None
    verdicts: tuple[Verdict, ...]
    regressions: tuple[Regression, ...]
    unclear: tuple[str, ...]
    changes: tuple[Change, ...]
    test: Experiment | None
    ranking: Ranking | None
    training: Training | None

    def comparisons(self, metric: str) -> tuple[Comparison, ...]:
        """The model against every baseline on a headline metric, the strongest first; none where it has not run."""
        board = self.board
        if board is None or metric not in board.model:
            return ()
        name = board.model[metric]
        ours = board.entry(name).measures[metric].value.mean
        found = [
            Comparison(name, metric, rival.name, ours, measure.value.mean, measure.behind)
            for rival in board.baselines
            if (measure := rival.measures.get(metric)) is not None and measure.behind is not None
        ]
        return tuple(sorted(found, key=lambda one: -one.theirs))

    @property
    def headlines(self) -> Iterator[Comparison]:
        """The model against the strongest baseline on each headline metric."""
        for metric in self.board.metrics if self.board is not None else ():
            yield from self.comparisons(metric)[:1]

    @property
    def judged(self) -> bool:
        """Whether the final list has been compared with baselines."""
        return self.board is not None and bool(self.board.strongest) and "final list" in self.board.model.values()

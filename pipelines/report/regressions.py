"""Slices that got worse, and slices too small to tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipelines.evaluation.sliced import SliceResults, regressions
from pipelines.report.wording import change as change_of
from pipelines.report.wording import is_lift, metric_name, signed_percent
from pipelines.verdicts import Verdict


@dataclass(frozen=True)
class Regression:
    """A slice in which a stage of the model is surely worse than a rival, on n requests.

    change: by how much, with its 95 % interval, as text; relative: the same as a share of the rival's value. stops: it
    stands in the way of a test. Only what happens to groups of people does, beyond the floor, in what they are shown:
    on popular items alone a list of popular items cannot be beaten, so slices of items are told and no more (but for
    those that a gate judges, whose verdicts speak for themselves).
    """

    slice: str
    contender: str
    metric: str
    rival: str
    change: str
    relative: float
    n: int
    stops: bool

    @property
    def sentence(self) -> str:
        """What got worse, by how much, against whom."""
        return (
            f"{self.slice}: {metric_name(self.metric)} of the {self.contender} {self.change} against {self.rival}, "
            f"n={self.n:,}"
        )


def of_slices(results: SliceResults, floor: float) -> list[Regression]:
    """Slices that the evaluate stage found surely worse than the strongest baseline or the strongest popularity, each
    against the one it loses most to: what is in the way first, then groups of people, then items, then what the towers
    retrieve, each from the largest relative loss.

    floor: the least relative change that is acceptable, judged by the upper bound.
    """
    found = []
    for row in regressions(results):
        against, people = row.against, row.of in ("requests", "newcomers")
        if row.slice == "all":
            continue
        shown, share = row.contender == "final list", against.difference.mean / against.value
        stops = people and shown and against.difference.high / against.value < floor
        change = f"{change_of(against.difference)}, {signed_percent(share)},"
        names = row.slice, row.contender, row.metric, against.rival
        weight = 0 if stops else 1 if people and shown else 2 if shown else 3
        found.append((weight, Regression(*names, change, share, row.n, stops)))
    return [one for _, one in sorted(found, key=lambda pair: (pair[0], pair[1].relative))]


def of_gates(verdicts: Sequence[Verdict]) -> Iterator[Regression]:
    """Slices that a gate found surely worse, within its floor or beyond; those too small to tell are not among them."""
    for v in verdicts:
        if v.slice != "all" and is_lift(v) and v.high < 0 and v.status != "cannot tell":
            metric, _, rival = v.metric.partition(" lift over ")
            change = f"{signed_percent(v.value)} [{signed_percent(v.low)}, {signed_percent(v.high)}]"
            yield Regression(v.slice, "towers", metric, rival, change, v.value, v.n, False)


def small(results: SliceResults) -> Iterator[str]:
    """Slices that the evaluate stage found too small to tell, in what people are shown."""
    for row in results.rows:
        if row.slice != "all" and row.contender == "final list" and row.hardest.status == "too few to tell":
            yield f"{row.slice} (n={row.n:,})"


def too_few(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Slices of a gate that are too small to tell."""
    for v in verdicts:
        if v.slice != "all" and v.status == "cannot tell":
            yield f"{v.slice} (n={v.n:,})"

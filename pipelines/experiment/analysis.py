"""What an experiment found: arms against the control, guardrails, and whether any of it may be believed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from configs.errors import UserError
from pipelines.evaluation.bootstrap import Interval
from pipelines.experiment.balance import Balance, balance
from pipelines.experiment.estimate import compare
from pipelines.experiment.logs import Log
from pipelines.experiment.metrics import Guardrail, Metric, sample
from pipelines.experiment.sequential import PLANNED

LEVEL = 0.95
CONTROL = "control"
Status = Literal["better", "worse", "cannot tell", "holds", "fails"]


@dataclass(frozen=True)
class Plan:
    """What was settled beforehand.

    metrics: the first decides, others are only shown; shares: of the arms, None for equal ones; planned: units that
    the sequential interval is tightest for; one_look: today is the one day that was planned, so that the fixed
    interval decides.
    """

    metrics: Sequence[Metric]
    guardrails: Sequence[Guardrail] = ()
    control: str = CONTROL
    shares: Mapping[str, float] | None = None
    planned: int = PLANNED
    one_look: bool = False
    cuped: bool = True


@dataclass(frozen=True)
class Compared:
    """One arm against the control on one metric.

    margin: how much worse a guardrail may be, absolute; None for a metric. kept: share of the variance left by CUPED.
    status: of a metric by the interval that decides; a guardrail holds where that is above -margin, in the direction
    that is better, and fails where it is below.
    """

    metric: Metric
    arm: str
    control: float
    treatment: float
    fixed: Interval
    sequential: Interval
    kept: float
    normal: bool
    margin: float | None
    status: Status

    @property
    def relative(self) -> float:
        """The difference as a share of the control's level."""
        return self.fixed.mean / self.control if self.control else np.nan


@dataclass(frozen=True)
class Analysis:
    """compared: empty where the arms are not as large as they should be; level: of every interval; not_served: lists
    that the stable version answered as the arm's own was not served, and their share, by arms that have any."""

    experiment: str
    plan: Plan
    balance: Balance
    compared: tuple[Compared, ...]
    level: float
    days: float
    several: int
    nameless: int
    open: int
    not_served: Mapping[str, tuple[int, float]]

    @property
    def treatments(self) -> list[str]:
        """Every arm but the control."""
        return [arm for arm in self.balance.units if arm != self.plan.control]

    def of(self, arm: str) -> tuple[Compared, list[Compared]]:
        """The metric that decides and the guardrails of an arm. For arms that were compared."""
        mine = [one for one in self.compared if one.arm == arm]
        return next(one for one in mine if one.margin is None), [one for one in mine if one.margin is not None]


def analyse(log: Log, plan: Plan) -> Analysis:
    """Compare the arms of a log, if they are as large as they should be. Raises: UserError."""
    arms = _arms(log, plan)
    units = {arm: int((log.units.arm == arm).sum()) for arm in arms}
    small = [arm for arm, count in units.items() if count < 2]
    if small:
        raise UserError(f"arm {small[0]!r}: found {units[small[0]]} exposed units, expected at least 2")
    dealt = balance(units, plan.shares or dict.fromkeys(arms, 1.0))
    treatments = [arm for arm in arms if arm != plan.control]
    level = 1 - (1 - LEVEL) / len(treatments)  # Bonferroni: at most one experiment in twenty is wrong about any arm
    compared = tuple(_compared(log, plan, treatments, level)) if dealt.sound else ()
    counts = log.units.several, log.units.nameless, log.open
    return Analysis(str(log.experiment), plan, dealt, compared, level, log.days, *counts, _not_served(log, arms))


def _not_served(log: Log, arms: Sequence[str]) -> dict[str, tuple[int, float]]:
    found = {}
    for arm in arms:
        mine = log.units.arm == arm
        if lists := int(log.units.not_served[mine].sum()):
            found[arm] = lists, lists / float(log.units.lists[mine].sum())
    return found


def _arms(log: Log, plan: Plan) -> list[str]:
    """The control first."""
    seen = sorted(set(log.units.arm.tolist()))
    shares = plan.shares
    if shares is not None:
        unknown = [arm for arm in seen if not shares.get(arm)]
        if unknown:
            raise UserError(f"arm {unknown[0]!r}: found in the log, expected those with a share: {', '.join(shares)}")
        seen = sorted(arm for arm, share in shares.items() if share)
    if plan.control not in seen:
        raise UserError(f"--control: found {plan.control!r}, expected one of the arms: {', '.join(seen)}")
    if len(seen) < 2:
        raise UserError(f"experiment {log.experiment!r}: found the arm {seen[0]!r} alone, expected two or more")
    return [plan.control, *(arm for arm in seen if arm != plan.control)]


def _compared(log: Log, plan: Plan, treatments: Sequence[str], level: float) -> Iterator[Compared]:
    asked: list[tuple[Metric, Guardrail | None]] = [(metric, None) for metric in plan.metrics]
    asked += [(guardrail.metric, guardrail) for guardrail in plan.guardrails]
    for metric, guardrail in asked:
        control = sample(log, metric, plan.control)
        for arm in treatments:
            found = compare(control, sample(log, metric, arm), plan.cuped)
            fixed, sequential = found.fixed(level), found.sequential(level, plan.planned)
            margin = None
            if guardrail is not None:
                margin = guardrail.margin * (abs(found.control) if guardrail.relative else 1)
            status = _status(fixed if plan.one_look else sequential, metric.rises, margin)
            levels = found.control, found.treatment
            yield Compared(metric, arm, *levels, fixed, sequential, found.kept, found.normal, margin, status)


def _status(interval: Interval, rises: bool, margin: float | None) -> Status:
    low, high = (interval.low, interval.high) if rises else (-interval.high, -interval.low)
    if margin is not None:
        # at the margin itself it holds: a guardrail on what never happens in either arm has nothing to tell
        return "holds" if low >= -margin else "fails" if high < -margin else "cannot tell"
    return "better" if low > 0 else "worse" if high < 0 else "cannot tell"

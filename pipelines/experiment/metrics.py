"""What an experiment is judged by: metrics of units, and how much worse a guardrail may get."""

from __future__ import annotations

import math
from dataclasses import dataclass

from configs.errors import UserError
from pipelines.experiment.estimate import Sample
from pipelines.experiment.logs import Log


@dataclass(frozen=True)
class Metric:
    """name: one of WORDS; kind: only events of it, or all where None."""

    name: str
    kind: str | None = None

    @property
    def words(self) -> str:
        """What it says, for people."""
        said = WORDS[self.name]
        return said if self.kind is None else f"{said}, `{self.kind}` events only"

    @property
    def rises(self) -> bool:
        """Whether more of it is better."""
        return self.name not in _LESS_IS_BETTER

    @property
    def of_lists(self) -> bool:
        """Whether the lists themselves tell it, without any event."""
        return self.name in _LESS_IS_BETTER

    def __str__(self) -> str:
        return self.name if self.kind is None else f"{self.name}:{self.kind}"


@dataclass(frozen=True)
class Guardrail:
    """A metric that must not get worse by `margin`, absolute, or a share of control's level where `relative`."""

    metric: Metric
    margin: float
    relative: bool

    def __str__(self) -> str:
        return f"{self.metric}={self.margin * 100:g}%" if self.relative else f"{self.metric}={self.margin:g}"


WORDS = {
    "conversion": "share of units with an event",
    "taken": "share of units that took an item that they had been shown",
    "events": "events per unit",
    "value": "value of events per unit",
    "events_per_list": "events per list shown",
    "seconds": "seconds to answer, per list",
    "fallback": "share of lists that were fallback answers",
}
_LESS_IS_BETTER = ("seconds", "fallback")
GUARDRAILS = ("seconds=10%", "fallback=0.01")
"""Held where none are named: slower or broken answers explain many a difference."""


def metric(text: str, option: str = "--metric") -> Metric:
    """From "events" or "events:purchase". Raises: UserError."""
    name, colon, kind = text.partition(":")
    if name not in WORDS:
        raise UserError(f"{option}: found {text!r}, expected one of {', '.join(WORDS)}, or such as events:purchase")
    found = Metric(name, kind or None)
    if colon and (not kind or found.of_lists):
        expected = "no kind, as lists alone tell it" if kind else "a kind after the colon"
        raise UserError(f"{option}: found {text!r}, expected {expected}")
    return found


def guardrail(text: str) -> Guardrail:
    """From "seconds=10%" or "fallback=0.01". Raises: UserError."""
    name, _, margin = text.partition("=")
    try:
        number = float(margin.removesuffix("%"))
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise UserError(f"--guardrail: found {text!r}, expected a metric and a margin above 0, e.g. seconds=10%")
    relative = margin.endswith("%")
    return Guardrail(metric(name, "--guardrail"), number / 100 if relative else number, relative)


def sample(log: Log, found: Metric, arm: str | None = None) -> Sample:
    """The units of an arm (all where None) under a metric. Raises: UserError where the log has no events for it."""
    units = log.units
    rows = slice(None) if arm is None else units.arm == arm
    lists = units.lists[rows]
    if found.name == "seconds":
        return Sample(units.seconds[rows], lists)
    if found.name == "fallback":
        return Sample(units.fallback[rows], lists)
    if found.kind not in log.outcomes:
        raise UserError(f"metric {found}: found no events beside the exposures; give them as --events GLOB")
    did = log.outcomes[found.kind]
    events, before = did.events[rows], did.before[rows]
    if found.name == "conversion":
        return Sample((events > 0).astype(float), None, (before > 0).astype(float))
    if found.name == "taken":
        return Sample((did.taken[rows] > 0).astype(float), None, (before > 0).astype(float))
    if found.name == "value":
        return Sample(did.value[rows], None, did.value_before[rows])
    return Sample(events, None if found.name == "events" else lists, before)

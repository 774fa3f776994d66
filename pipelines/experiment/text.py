"""Experiments in the terminal and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from pipelines.evaluation.bootstrap import Interval
from pipelines.experiment.analysis import Analysis, Compared, Status
from pipelines.experiment.off_policy import Value
from pipelines.experiment.planning import Needed, Planned
from pipelines.experiment.verdict import Verdict
from pipelines.look.numbers import number, percent, signed, signed_percent
from pipelines.look.terminal import clean, table

_STYLE: dict[Status, str] = {"better": "green", "holds": "green", "worse": "red", "fails": "red", "cannot tell": "dim"}
_DIGITS = 4


def print_analysis(found: Analysis, said: Verdict, console: Console) -> None:
    """Arms, metrics, guardrails, the verdict and what to be careful of."""
    console.print(Text(clean(f"{found.experiment}, {found.days:.1f} days; intervals at {found.level:.1%}")))
    dealt = found.balance
    sizes = ", ".join(f"{arm} {count:,}" for arm, count in dealt.units.items())
    console.print(Text(clean(f"units: {sizes}; dealt as planned: p = {dealt.p:.3g}")))
    if found.compared:
        console.print(_table(found.compared, console))
    for sentence in said.sentences:
        console.print(Text(clean(sentence), style="bold"))
    for caution in said.cautions:
        console.print(Text(clean(caution), style="yellow"))


def _table(compared: Sequence[Compared], console: Console) -> Any:
    lines = table("Metric")
    lines.add_column("arm", no_wrap=True)
    for heading in ("control", "treated", "", "one look", "any look", "kept"):
        lines.add_column(heading, justify="right", no_wrap=True)
    lines.add_column("", no_wrap=True)
    for one in compared:
        name = str(one.metric) if one.margin is None else f"{one.metric} (at most {number(one.margin, _DIGITS)} worse)"
        levels = (number(level, _DIGITS) for level in (one.control, one.treatment))
        intervals = (_bounds(interval) for interval in (one.fixed, one.sequential))
        cells = (*levels, signed_percent(one.relative), *intervals, percent(one.kept, 0) if one.kept != 1 else "")
        lines.add_row(clean(name), clean(one.arm), *cells, Text(one.status, _STYLE[one.status]))
    return lines


def _bounds(interval: Interval) -> str:
    return f"{signed(interval.low, _DIGITS)} {signed(interval.high, _DIGITS)}"


def as_json(found: Analysis, said: Verdict) -> dict[str, Any]:
    """Everything that was found; what is not a number is null."""
    return {
        "experiment": found.experiment,
        "days": found.days,
        "level": found.level,
        "decides": "fixed" if found.plan.one_look else "sequential",
        "balance": {
            "units": dict(found.balance.units),
            "expected": dict(found.balance.expected),
            "p": found.balance.p,
            "sound": found.balance.sound,
        },
        "compared": [_compared(one) for one in found.compared],
        "left_out": {"several_arms": found.several, "lists_without_id": found.nameless, "window_open": found.open},
        "not_served": {arm: {"lists": lists, "share": share} for arm, (lists, share) in found.not_served.items()},
        "verdict": list(said.sentences),
        "cautions": list(said.cautions),
        "next": said.next_step,
    }


def _compared(one: Compared) -> dict[str, Any]:
    return {
        "metric": str(one.metric),
        "role": "metric" if one.margin is None else "guardrail",
        "arm": one.arm,
        "control": one.control,
        "treatment": one.treatment,
        "difference": one.fixed.mean,
        "relative": _finite(one.relative),
        "fixed": [one.fixed.low, one.fixed.high],
        "sequential": [one.sequential.low, one.sequential.high],
        "variance_kept": one.kept,
        "margin": one.margin,
        "status": one.status,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def print_plan(planned: Sequence[Planned], console: Console) -> None:
    """A line for each duration."""
    lines = table("Test of")
    for heading in ("units", "level", "one look finds", "", "any look finds", "", "with CUPED", ""):
        lines.add_column(heading, justify="right", no_wrap=True)
    for one in planned:
        weeks, units, level = one.traffic.weeks, one.traffic.units, one.traffic.level
        effects = (one.fixed, one.sequential, one.cuped)
        shown = (cell for effect in effects for cell in (signed(effect, _DIGITS), _relative(effect, level)))
        lines.add_row(f"{weeks} week{'s' * (weeks > 1)}", f"{units:,}", number(level, _DIGITS), *shown)
    console.print(lines)


def _relative(effect: float, level: float) -> str:
    return signed_percent(effect / abs(level)) if level else ""


def plan_as_json(planned: Sequence[Planned], needed: Needed | None) -> dict[str, Any]:
    """Every figure of a plan."""
    return {
        "tests": [
            {
                **asdict(one.traffic),
                "one_look": one.fixed,
                "any_look": one.sequential,
                "one_look_with_cuped": one.cuped,
            }
            for one in planned
        ],
        "needed": None if needed is None else asdict(needed),
    }


def print_value(found: Value, console: Console) -> None:
    """A line for each estimate."""
    lines = table("Policy")
    lines.add_column("", no_wrap=True)
    for heading in ("reward a row", "95%", "rows that count", "largest weight"):
        lines.add_column(heading, justify="right", no_wrap=True)
    logged = found.logged
    lines.add_row("logged", "mean", number(logged.mean, _DIGITS), _levels(logged), f"{found.rows:,}", "")
    rest = f"{found.effective:,.0f}", number(found.largest, 1)
    for name, value in (("IPS", found.ips), ("SNIPS", found.snips), ("DR", found.dr)):
        if value is not None:
            lines.add_row(clean(found.policy), name, number(value.mean, _DIGITS), _levels(value), *rest)
    console.print(lines)
    for caution in found.cautions:
        console.print(Text(clean(f"{caution}."), style="yellow"))


def _levels(interval: Interval) -> str:
    return f"{number(interval.low, _DIGITS)} {number(interval.high, _DIGITS)}"


def value_as_json(found: Value) -> dict[str, Any]:
    """Every figure of off-policy estimates."""
    return {**asdict(found), "cautions": found.cautions}

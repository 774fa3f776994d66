"""How numbers are written, the same in the terminal and on the page."""

from __future__ import annotations

import math

from pipelines.evaluation.bootstrap import Interval
from pipelines.verdicts import Verdict

NONE = "\N{EN DASH}"
"""Stands where there is no value."""


def number(value: float | None, digits: int = 3) -> str:
    """A plain value: 0.281."""
    return NONE if value is None or math.isnan(value) else f"{value:.{digits}f}"


def signed(value: float | None, digits: int = 3) -> str:
    """A difference: +0.012."""
    return NONE if value is None or math.isnan(value) else f"{value:+.{digits}f}"


def percent(value: float | None, digits: int = 1) -> str:
    """A share: 28.1%."""
    return NONE if value is None or math.isnan(value) else f"{value * 100:.{digits}f}%"


def signed_percent(value: float | None, digits: int = 1) -> str:
    """A relative change: +4.3%."""
    if value is None or math.isnan(value):
        return NONE
    return "+∞" if math.isinf(value) else f"{value * 100:+.{digits}f}%"


def bounds(interval: Interval | None) -> str:
    """The bounds of a level: 0.241 to 0.268."""
    return NONE if interval is None else f"{number(interval.low)} to {number(interval.high)}"


def change(interval: Interval | None) -> str:
    """A difference and its bounds: +0.012 [+0.002, +0.021]."""
    if interval is None:
        return NONE
    return f"{signed(interval.mean)} [{signed(interval.low)}, {signed(interval.high)}]"


def is_lift(verdict: Verdict) -> bool:
    """Whether the verdict's value is relative to another contender, so that 0 means level."""
    return " lift over " in verdict.metric


def verdict_value(verdict: Verdict) -> str:
    """The verdict's estimate, as a relative change or a level."""
    return signed_percent(verdict.value) if is_lift(verdict) else number(verdict.value)


def verdict_bounds(verdict: Verdict) -> str:
    """The verdict's bounds."""
    show = signed_percent if is_lift(verdict) else number
    return f"{show(verdict.low)} to {show(verdict.high)}"


def verdict_floor(verdict: Verdict) -> str:
    """The floor that the verdict is held against."""
    return signed_percent(verdict.floor) if is_lift(verdict) else number(verdict.floor)


def metric_name(metric: str) -> str:
    """A metric as people write it: NDCG@10, hit rate@10."""
    return metric.replace("ndcg", "NDCG").replace("_", " ")

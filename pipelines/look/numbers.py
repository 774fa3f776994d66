"""How numbers are written, the same in the terminal and on the page."""

from __future__ import annotations

import math

from pipelines.evaluation.bootstrap import Interval

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

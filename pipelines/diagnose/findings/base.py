"""What a finding is, and how its numbers are written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pipelines.evaluation.bootstrap import Interval
from pipelines.look.numbers import percent

Level = Literal["good", "note", "warning", "unknown"]


@dataclass(frozen=True)
class Finding:
    """A warning asks for something, a note is for the reader to know, unknown says what could not be told."""

    level: Level
    text: str


def bounds(interval: Interval, show: Callable[[float], str] = percent) -> str:
    """The bounds of an interval: [24.1% to 26.8%]."""
    return f"[{show(interval.low)} to {show(interval.high)}]"


def metric_name(metric: str) -> str:
    """A metric as people write it: NDCG@10, hit rate@10."""
    return metric.replace("ndcg", "NDCG").replace("_", " ")


def because(uncut: str) -> str:
    """Why nobody could be asked."""
    return f": {uncut}" if uncut else ", as no query came back"

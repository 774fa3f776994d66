"""Verdicts: a measured value, its interval, the floor it is held against, and what follows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipelines.evaluation.bootstrap import Interval, interval, paired_lift

CORE_RECALL = "searcher recall against exact, core operations"  # of a second export; judged when it is written

Status = Literal["pass", "fail", "cannot tell"]


@dataclass(frozen=True)
class Verdict:
    """One check. value, low, high: the estimate and its 95 % bounds; n: how many requests it rests on."""

    gate: str
    metric: str
    slice: str
    value: float
    low: float
    high: float
    floor: float
    n: int
    status: Status


def lift_verdict(gate: str, metric: str, ours: np.ndarray, theirs: np.ndarray, floor: float, min_users: int) -> Verdict:
    """Overall lift over a baseline, paired by request: passes when the lower bound clears the floor."""
    lift = paired_lift(ours, theirs)
    status: Status = "pass" if lift.low > floor else "fail"
    return _verdict(gate, metric, "all", lift, floor, "cannot tell" if lift.n < min_users else status)


def slice_verdict(
    gate: str, metric: str, name: str, ours: np.ndarray, theirs: np.ndarray, floor: float, min_users: int
) -> Verdict:
    """Lift within a slice: fails only when even the upper bound is below the floor."""
    lift = paired_lift(ours, theirs)
    status: Status = "fail" if lift.high < floor else "pass"
    return _verdict(gate, metric, name, lift, floor, "cannot tell" if lift.n < min_users else status)


def level_verdict(gate: str, metric: str, values: np.ndarray, floor: float) -> Verdict:
    """A mean that must clear a floor with its lower bound."""
    level = interval(values)
    return _verdict(gate, metric, "all", level, floor, "pass" if level.low >= floor else "fail")


def passed(verdicts: Sequence[Verdict]) -> bool:
    """Whether nothing failed and everything judged overall passed: not being able to tell there is no pass."""
    return all(v.status == "pass" or (v.slice != "all" and v.status == "cannot tell") for v in verdicts)


def save_verdicts(verdicts: Sequence[Verdict], path: Path) -> None:
    """Write verdicts as JSON."""
    path.write_text(json.dumps([as_json(verdict) for verdict in verdicts], indent=2, allow_nan=False) + "\n")


def load_verdicts(path: Path) -> list[Verdict]:
    """Read what `save_verdicts` wrote."""
    return [from_json(verdict) for verdict in json.loads(path.read_text())]


def as_json(verdict: Verdict) -> dict[str, Any]:
    """A verdict as JSON can hold it: infinite and undefined numbers as text."""
    values = asdict(verdict)
    return {
        key: str(value) if isinstance(value, float) and not isfinite(value) else value for key, value in values.items()
    }


def from_json(values: dict[str, Any]) -> Verdict:
    """What `as_json` made of a verdict, read back."""
    return Verdict(**{**values, **{key: float(values[key]) for key in ("value", "low", "high", "floor")}})


def _verdict(gate: str, metric: str, name: str, found: Interval, floor: float, status: Status) -> Verdict:
    return Verdict(gate, metric, name, found.mean, found.low, found.high, floor, found.n, status)

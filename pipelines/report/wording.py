"""How the report words what it found; plain numbers are written as `pipelines.look` does."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.look.numbers import NONE as NONE
from pipelines.look.numbers import bounds as bounds
from pipelines.look.numbers import change as change
from pipelines.look.numbers import number as number
from pipelines.look.numbers import percent as percent
from pipelines.look.numbers import signed as signed
from pipelines.look.numbers import signed_percent as signed_percent
from pipelines.verdicts import Verdict


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
    """A metric as people write it: NDCG@10, hit rate@10, a lift with the name of its rival as it is."""
    name, at, rest = metric.partition("@")
    return (name.upper() if name in ("ndcg", "map", "mrr") else name.replace("_", " ")) + at + rest


def listed(names: Sequence[str], most: int = 3) -> str:
    """The first few names, and how many more there are; names may hold commas."""
    names = list(dict.fromkeys(names))
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return "; ".join(names[:most]) + more

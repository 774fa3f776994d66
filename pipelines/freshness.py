"""The freshness gate: what was measured of a bundle's staleness, held against `[freshness]` of its config."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.text import Text

from configs.units import duration
from pipelines.look.numbers import NONE, number, percent
from pipelines.look.terminal import table
from pipelines.staleness import Ages, Drift, Missing, Staleness
from serving.manifest import versions

_NAMED = 20  # ids that a command line may name

Unit = Literal["seconds", "share", "items", "1 - cosine"]
Status = Literal["ok", "too stale", "cannot tell"]
_STYLE: dict[Status, str] = {"ok": "green", "too stale": "bold red", "cannot tell": "yellow"}


@dataclass(frozen=True)
class Check:
    """One figure held against the most that it may be, which `key` of the config says; value is None where it cannot
    be told."""

    name: str
    value: float | None
    limit: float
    unit: Unit
    key: str
    status: Status
    detail: str


def judge(found: Staleness) -> tuple[Check, ...]:
    """Hold what was measured against its limits; without an item table the age and the items beside the index alone."""
    beside, limits = found.beside, found.limits
    checks = [_age(found.ages, duration(limits.max_age))]
    if found.missing is not None:
        checks += _missing(found.missing, beside.shown, limits.max_missing)
    said = f"{percent(_share(beside.items, beside.shown))} of {beside.shown:,} shown"
    checks.append(_check("beside the index", beside.items, beside.room, "items", "index.delta", said))
    said = f"{percent(_share(beside.dead, beside.indexed))} of {beside.indexed:,} in the index"
    checks.append(_check("out of date", beside.dead, beside.room, "items", "index.delta", said))
    if found.drift is not None:
        checks.append(_drift(found.drift, limits.max_drift))
    return tuple(checks)


def fresh(checks: Sequence[Check]) -> bool:
    """Whether every check is ok: not being able to tell is not."""
    return all(check.status == "ok" for check in checks)


def next_step(found: Staleness, checks: Sequence[Check], items: Path | None) -> tuple[str, ...]:
    """The words of the command that follows; none where all is well and nothing is left to measure."""
    model, today = found.version.parent, str(items or "ITEMS")
    if fresh(checks):
        return () if items else ("staleness", str(found.version), today)
    gone = found.missing.gone if found.missing else ()
    entering = sum(part.entering for part in (found.missing, found.drift) if part is not None)
    beyond = found.beside.items + entering > found.beside.room
    if (beyond and not found.beside.compacts) or len(gone) > _NAMED or not versions(model):
        return ("run", "CONFIG")  # upsert would refuse so many, and so many to remove are none for a command line
    if items is None and {check.key for check in checks if check.status != "ok"} == {"index.delta"}:
        return ("upsert", str(model), "--compact")
    return ("upsert", str(model), today, *(f"--remove={item}" for item in gone))


def as_json(found: Staleness, checks: Sequence[Check]) -> dict[str, Any]:
    """All that was found, as JSON can hold it: `Staleness` by its fields, "checks" and "fresh"."""
    limits = found.limits.model_dump(mode="json")
    said = {**asdict(found), "version": str(found.version), "limits": limits}
    return {**said, "checks": [asdict(check) for check in checks], "fresh": fresh(checks)}


def failures(checks: Sequence[Check]) -> str:
    """The checks that are not ok, in one line."""
    return "; ".join(
        f"{check.name}: {_words(check.value, check.unit)}, at most {_words(check.limit, check.unit)} by {check.key} "
        f"({check.status})"
        for check in checks
        if check.status != "ok"
    )


def print_checks(checks: Sequence[Check], console: Console) -> None:
    """Print a line for each check."""
    lines = table("Staleness")
    for heading in ("found", "at most"):
        lines.add_column(heading, justify="right", no_wrap=True)
    lines.add_column("", no_wrap=True)
    lines.add_column("")
    for check in checks:
        values = (_words(value, check.unit) for value in (check.value, check.limit))
        lines.add_row(check.name, *values, Text(check.status, _STYLE[check.status]), Text(check.detail, "dim"))
    console.print(lines)


def _age(ages: Ages, limit: int) -> Check:
    """That one vector is too old is certain whatever is unknown of the others; that none is, only if all are known."""
    if ages.oldest is None or ages.median is None:
        said = "the bundle does not say when its vectors were computed: it is older than that"
    else:
        said = f"median {_length(ages.median)}, of {ages.items - ages.unknown:,} shown"
        said += f"; unknown of {ages.unknown:,} others" if ages.unknown else ""
    sure = not ages.unknown
    return _check("age of the oldest", ages.oldest, limit, "seconds", "freshness.max_age", said, sure)


def _missing(missing: Missing, shown: int, most: float) -> list[Check]:
    key, absent, gone = "freshness.max_missing", missing.unknown + missing.hidden, len(missing.gone)
    said = f"{absent:,} of {missing.available:,} available: {missing.unknown:,} unknown, {missing.hidden:,} hidden"
    return [
        _check("not shown", _share(absent, missing.available), most, "share", key, said),
        _check("not in the table", _share(gone, shown), most, "share", key, f"{gone:,} of {shown:,} shown"),
    ]


def _drift(drift: Drift, most: float) -> Check:
    if drift.compared:
        drawn = f", drawn from {drift.known:,} (fixed seed)" if drift.compared < drift.known else ""
        said = (
            f"mean; 95th percentile {number(drift.p95, 4)}; {percent(drift.moved)} of {drift.compared:,} moved{drawn}"
        )
    else:
        said = "the bundle knows no item of the table"
    value = drift.mean if drift.compared else None
    return _check("drift", value, most, "1 - cosine", "freshness.max_drift", said)


def _check(name: str, value: float | None, limit: float, unit: Unit, key: str, detail: str, sure: bool = True) -> Check:
    """sure: whether a value within its limit proves anything."""
    if value is not None and value > limit:
        status: Status = "too stale"
    else:
        status = "ok" if value is not None and sure else "cannot tell"
    return Check(name, value, limit, unit, key, status, detail)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _words(value: float | None, unit: Unit) -> str:
    if value is None:
        return NONE
    if unit == "seconds":
        return _length(int(value))
    if unit == "share":
        return percent(value)
    return number(value, 4) if unit == "1 - cosine" else f"{value:,.0f}"


def _length(seconds: int) -> str:
    """A length of time in its largest unit: 3.2 days."""
    for unit, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds} seconds"

"""Whether features give the future away."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.diagnose import words
from pipelines.diagnose.diagnosis import Diagnosis
from pipelines.diagnose.findings.base import Finding, because, bounds
from pipelines.diagnose.leaks import SIDE, Column, Leaks
from pipelines.look.numbers import number, percent

SIDE_NOTE = 0.75  # AUC from which a column is named


def leaks(found: Diagnosis) -> Iterator[Finding]:
    """What each column shows, or that none does."""
    leaks = found.leaks
    for column in leaks.columns:
        yield from _column(column)
    if leaks.before_available:
        yield Finding(
            "warning",
            f"{percent(leaks.before_available, 2)} of the events are on an item before its available_from: that date "
            "is not when it entered, and it cannot be recommended before.",
        )
    suspects = [column for column in leaks.columns if column.suspicion]
    if not leaks.columns:
        yield Finding("unknown", "No feature to look at: the config lists none but ids and the request's time.")
    elif found.uncut:
        yield Finding("unknown", f"Only dates were looked at{because(found.uncut)}.")
    elif not suspects:
        yield _sound(leaks)


def _sound(leaks: Leaks) -> Finding:
    sides = [(column.side.auc, column.name) for column in leaks.columns if column.side is not None]
    names = words.plural(len(leaks.columns), "feature column")
    if not sides:
        return Finding("unknown", f"None of {names} looks wrong, but too little is new after the test cut to compare.")
    auc, name = max(sides)
    return Finding(
        "good",
        f"None of {names} looks like the future: the one that tells the test window best is {name}, AUC "
        f"{number(auc, 2)} (.5 = not at all, {SIDE:g} = suspicious).",
    )


def _column(column: Column) -> Iterator[Finding]:
    name = f"`{column.name}` ({column.table})"
    if column.future is not None and column.counts_future:
        yield Finding(
            "warning",
            f"{name} goes with the number of events (rank correlation {number(column.with_counts, 2)}), and with those "
            f"after the test cut even when past and recent ones are held equal ({number(column.future.mean, 2)} "
            f"{bounds(column.future, lambda value: number(value, 2))}): it seems counted over the whole log. Count "
            "only what came before.",
        )
    if column.dates is not None and column.dates.later > 0:
        what = "event" if column.table == "events" else "first event"
        then = (
            "what was not known then must not be learned from"
            if column.dated_later
            else "check whether these are slips"
        )
        yield Finding(
            "warning" if column.dated_later else "note",
            f"{name} reads as {column.dates.reads}, and {percent(column.dates.later, 2)} of {column.dates.rows:,} rows "
            f"lie after the {what}: {then}.",
        )
    if column.missing is not None and column.lacks_late:
        yield Finding(
            "warning",
            f"{name} is missing for {percent(column.missing.late)} of the {column.missing.late_rows:,} first seen "
            f"after the test cut, and for {percent(column.missing.early)} of the others: its absence gives away "
            "what is new, and it cannot carry newcomers.",
        )
    if column.side is not None and column.side.auc >= SIDE_NOTE:
        trend = ""
        if column.with_time is not None:
            trend = f", rank correlation with time {number(column.with_time, 2)}"
        rows = "events" if column.table == "events" else f"{column.table} first seen"
        yield Finding(
            "warning" if column.tells_side else "note",
            f"{name} tells {rows} after the test cut from those before with AUC {number(column.side.auc, 2)}{trend} "
            f"(chance: up to {number(column.side.chance, 2)}). Things change honestly too: check that it is known "
            "when a request is made and that its values will come again.",
        )

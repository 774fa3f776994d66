"""Whether times and rows are sound."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pipelines.diagnose import words
from pipelines.diagnose.diagnosis import Diagnosis
from pipelines.diagnose.findings.base import Finding
from pipelines.diagnose.timing import Calendar, Silence
from pipelines.look.numbers import percent

BUSY = 0.2  # half of the events in so little of the span: windows of equal shares differ in length
TIED = 0.1  # share of events whose order within their query is not known
BULK = 1_000  # events at one moment that look written by a job
SET_ASIDE = 0.05  # share of a table's rows
FLAT = 1.3  # busiest hour over quietest below which times of day look invented or of all time zones


def timing(found: Diagnosis) -> Iterator[Finding]:
    """Span, bursts, silences, the calendar, ties, and rows set aside."""
    one = found.timing
    span = words.length(one.last - one.first, found.clock)
    if found.clock:
        yield Finding("note", f"{span}, from {words.moment(one.first, True)} to {words.moment(one.last, True)} (UTC).")
    else:
        yield Finding(
            "note",
            f"An order without a clock: numbers from {one.first} to {one.last}; what takes days or hours is left out.",
        )
    if one.half_in <= BUSY:
        yield Finding(
            "warning",
            f"Half of the events lie in the busiest {percent(one.half_in, 0)} of the span: windows of equal shares "
            "differ much in length; dates in [split] make it plain what is judged.",
        )
    if one.silences and found.clock:
        yield _silence(one.silences[0], one.typical)
    if one.calendar is not None:
        yield from _calendar(one.calendar)
    yield from _ties(found)
    yield from _rows(found)


def _silence(longest: Silence, typical: float) -> Finding:
    return Finding(
        "note",
        f"The longest silence is {words.length(longest.end - longest.start, True)}, from "
        f"{words.moment(longest.start, True)}; between two events are {words.length(typical, True)} in the median.",
    )


def _calendar(one: Calendar) -> Iterator[Finding]:
    busiest, middle = max(one.days), sorted(one.days)[len(one.days) // 2]
    days = f"{middle:,} events a day in the median, {busiest:,} on the busiest"
    if one.holes:
        yield Finding(
            "warning",
            f"{days}; {one.empty:,} of {len(one.days):,} days have none, {one.holes:,} of them in the middle of lively "
            "weeks: is a part of the log missing?",
        )
    elif one.empty:
        yield Finding("note", f"{days}; {one.empty:,} of {len(one.days):,} days have none, all of them in quiet weeks.")
    else:
        yield Finding("note", f"{days}, and none of {len(one.days):,} days without.")
    if one.coarse:
        yield Finding("warning", f"Times are whole {one.coarse}s: the order within a {one.coarse} is not known.")
    if not math.isnan(one.peak):
        busy, quiet = (one.hours.index(pick(one.hours)) for pick in (max, min))
        text = f"The busiest hour of the day ({busy}:00 UTC) sees {one.peak:.1f} times the quietest ({quiet}:00)"
        if one.peak < FLAT:
            yield Finding("note", f"{text}: hardly a rhythm, so the hour says little.")
        else:
            yield Finding("note", f"{text}: the hour of a request may say something.")


def _ties(found: Diagnosis) -> Iterator[Finding]:
    one = found.timing
    moment = "second" if found.clock else "order number"
    if one.tied >= TIED:
        yield Finding(
            "warning",
            f"{percent(one.tied)} of the events share their {moment} with another one of the same query, up to "
            f"{one.crowded:,} at once: they look written in batches, and their order is that of the rows.",
        )
    else:
        yield Finding("good", f"{percent(one.tied)} of the events share their {moment} with one of the same query.")
    if one.moment >= BULK:
        yield Finding(
            "warning", f"{one.moment:,} events stand at one {moment}: a job may have written them, not those who ask."
        )


def _rows(found: Diagnosis) -> Iterator[Finding]:
    for table, account in found.accounts.items():
        left = account.rows - account.kept
        if not left:
            yield Finding("good", f"All {account.rows:,} rows of {table} are kept.")
            continue
        reasons = ", ".join(f"{reason}: {count:,}" for reason, count in account.quarantined.items())
        # What the config itself asks for (min_item_events, min_query_events) is no sign of bad rows.
        bad = sum(count for reason, count in account.quarantined.items() if "has fewer than" not in reason)
        yield Finding(
            "warning" if bad / account.rows >= SET_ASIDE else "note",
            f"{left:,} of {account.rows:,} rows of {table} ({percent(left / account.rows)}) are set aside ({reasons}).",
        )

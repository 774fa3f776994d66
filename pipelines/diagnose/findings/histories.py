"""What is known of those who ask."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.diagnose import words
from pipelines.diagnose.diagnosis import Diagnosis
from pipelines.diagnose.findings.base import Finding
from pipelines.diagnose.histories import GROUPS, QUANTILES
from pipelines.look.numbers import percent


def histories(found: Diagnosis) -> Iterator[Finding]:
    """Lengths, and newcomers by window."""
    one = found.histories
    low, middle, high = (one.lengths[QUANTILES.index(share)] for share in (0.1, 0.5, 0.9))
    yield Finding(
        "note",
        f"A query has {middle:,} events in the median; a tenth have {low:,} or fewer, a tenth {high:,} or more, the "
        f"longest {one.lengths[-1]:,}. From the first to the last are {words.length(one.life, found.clock)} in the "
        "median.",
    )
    if one.test is None:
        yield Finding("unknown", "Newcomers cannot be counted, as the log cannot be cut.")
        return
    shares = dict(zip(GROUPS, one.at_test, strict=True))
    long = sum(share for (least, _), share in shares.items() if least >= 5)
    yield Finding(
        "note",
        f"Of the {words.plural(one.test.queries, 'query')} of the test window, {percent(shares[0, 0])} have no event "
        f"before it, {percent(shares[1, 1])} one, {percent(shares[2, 4])} two to four, {percent(long)} five or more.",
    )
    for label, name in (("by queries", "cold_queries"), ("on items", "cold_items")):
        parts = ", ".join(f"{percent(getattr(window, name))} of {window.name}" for window in one.windows)
        yield Finding("note", f"Share of a window's events {label} without a past before it: {parts}.")

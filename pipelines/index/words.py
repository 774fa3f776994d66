"""The tuning of a searcher in words."""

from __future__ import annotations

from pipelines.evaluation.bootstrap import Interval
from pipelines.index.record import ENOUGH, IndexTuning


def tuning_words(tuning: IndexTuning) -> str:
    """One line: the recall reached, on what, in which time."""
    if tuning.kind == "exact":
        return "every item is scored"
    found, chosen = tuning.held_out, tuning.trials[tuning.chosen]
    reached = f"recall@{tuning.k} {found.mean:.4f} [{found.low:.4f}, {found.high:.4f}] on {found.n:,} held-out queries"
    said = f"target {tuning.target:g} {tuning.verdict}" if tuning.verdict != "cannot tell" else _too_few(tuning)
    least = min(tuning.filtered, key=lambda one: one.recall, default=None)
    under = f"; under {least.filter} = {least.value} {least.recall:.4f}" if least else ""
    spent = f"{chosen.microseconds:,.0f} microseconds a query, {len(tuning.trials)} settings tried"
    return f"{reached}, {said}; {spent}{under}"


def served_words(found: Interval) -> str:
    """Recall of a bundle's index, in one line."""
    if not found.n:
        return "the bundle stores no queries to measure its recall with"
    return f"recall {found.mean:.4f} [{found.low:.4f}, {found.high:.4f}] of all items, by {found.n} stored queries"


def _too_few(tuning: IndexTuning) -> str:
    if tuning.held_out.n < ENOUGH:
        return f"too few to tell (at least {ENOUGH}) of the target {tuning.target:g}"
    return f"too few to tell of the target {tuning.target:g}"

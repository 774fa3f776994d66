"""Is this a recommendation problem."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.diagnose import words
from pipelines.diagnose.diagnosis import Diagnosis
from pipelines.diagnose.findings.base import Finding, bounds, metric_name
from pipelines.diagnose.recency import HINDSIGHT, Contest
from pipelines.diagnose.rules import CHOICE, DIFFERENT
from pipelines.diagnose.tastes import FEWEST, Tastes
from pipelines.look.numbers import number, percent


def problem(found: Diagnosis) -> Iterator[Finding]:
    """Catalogue, repeats, differences, and what popularity alone would catch."""
    one = found.problem
    size = f"{words.plural(one.items, 'item')} for a list of {one.slots} (gate.list_k), {one.choice:,.0f} times over"
    if one.choice < CHOICE:
        yield Finding("warning", f"{size}: a list shows much of the catalogue anyway, so there is little to retrieve.")
    else:
        yield Finding("good", f"{size}: there is something to choose from.")
    if one.taken < one.items:
        untouched = (one.items - one.taken) / one.items
        yield Finding("note", f"{percent(untouched)} of the items ({one.items - one.taken:,}) have no event at all.")
    yield _repeats(found)
    if found.uncut:
        yield Finding("unknown", f"What needs a past and a future could not be told: {found.uncut}.")
        return
    yield _tastes(found.tastes)
    yield _caught(found.contest)


def _repeats(found: Diagnosis) -> Finding:
    one = found.problem
    if not one.repeats:
        return Finding("note", "Nothing repeats: 0.0% of the events take an item that the same query had taken before.")
    text = f"{percent(one.repeats)} of the events take an item that the same query had taken before"
    if found.clock:
        text += f", {percent(one.later_repeats)} a day or more later"
    if len(one.repeats_by_kind) > 1:
        text += f" ({', '.join(f'{kind} {percent(share)}' for kind, share in one.repeats_by_kind.items())})"
    return Finding("note", f"{text}.")


def _tastes(one: Tastes | None) -> Finding:
    if one is None or one.right.n < FEWEST:
        asked = one.right.n if one is not None else 0
        return Finding("unknown", f"Too few to tell whether queries differ: {asked} pairs to ask, {FEWEST} needed.")
    right = f"{percent(one.right.mean)} {bounds(one.right)} of {words.plural(one.right.n, 'pair')}"
    text = (
        f"Given two queries and the two items that they took at about the same moment, their pasts tell which is "
        f"whose in {right}; 50% if popularity were all: "
    )
    if one.right.low > 0.5 and one.right.mean >= DIFFERENT:
        return Finding("good", f"{text}queries differ, so that lists should too.")
    if one.right.high < DIFFERENT:
        return Finding("warning", f"{text}no difference between queries worth modelling shows.")
    return Finding("unknown", f"{text}too few to tell whether queries differ.")


def _caught(contest: Contest | None) -> Finding:
    if contest is None:
        return Finding("unknown", "What popularity alone would catch could not be told: no query came back.")
    name = metric_name(contest.metrics[1])
    sampled = f" A sample of {contest.requests:,}." if contest.asked < contest.requests else ""
    best, ceiling = (one.measures[contest.metrics[1]] for one in (contest.best, contest.of(HINDSIGHT)))
    return Finding(
        "note",
        f"Popularity alone ({contest.best.name}) has {name} {number(best.mean)} {bounds(best, number)} on "
        f"{words.plural(contest.asked, 'request')} of the validation window; one list for all, chosen in hindsight, "
        f"{number(ceiling.mean)}. More than that takes lists that differ.{sampled}",
    )

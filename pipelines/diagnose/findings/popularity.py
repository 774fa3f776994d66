"""How popularity is spread and how it moves."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pipelines.diagnose import words
from pipelines.diagnose.diagnosis import Diagnosis
from pipelines.diagnose.findings.base import Finding, because, bounds, metric_name
from pipelines.diagnose.popularity import Drift, Fading
from pipelines.diagnose.recency import ALL_TIME, Contender, Contest
from pipelines.look.numbers import number, percent, signed, signed_percent

FADES = 0.55  # share of new items' events in their first half; any item's share falls a little as others enter
CONCENTRATED = 0.5  # share of the events on the most popular 1 % of the items


def popularity(found: Diagnosis) -> Iterator[Finding]:
    """Concentration, recency, segments, drift and fading."""
    one = found.popularity
    top = one.concentration
    yield Finding(
        "warning" if top.top_1 >= CONCENTRATED else "note",
        f"{words.plural(top.half, 'item')} of {found.problem.items:,} hold half of the events; the top 1% hold "
        f"{percent(top.top_1)}, the top 10% {percent(top.top_10)} (Gini {number(top.gini, 2)}).",
    )
    yield _recent(found.contest, found.uncut)
    if found.contest is not None and found.contest.segment is not None:
        yield _segment(found.contest, found.contest.segment)
    yield _drift(one.drift, found.clock)
    yield _fading(one.fading)


def _recent(contest: Contest | None, uncut: str) -> Finding:
    if contest is None or contest.recent.over is None:
        return Finding("unknown", f"Whether recent popularity beats all of it could not be told{because(uncut)}.")
    base, recent = contest.of(ALL_TIME).measures, contest.recent.measures
    over, level = contest.recent.over, base[contest.metric].mean
    recall = contest.metrics[2]
    numbers = (
        f"{metric_name(contest.metric)} {number(recent[contest.metric].mean)} against {number(level)} for all time on "
        f"the validation window, {signed(over.mean)} {bounds(over, signed)}"
    )
    if level:
        numbers += f", that is {signed_percent(over.mean / level, 0)}"
    numbers += f"; {metric_name(recall)} {number(recent[recall].mean)} against {number(base[recall].mean)}"
    if over.low > 0:
        return Finding("note", f"Recent popularity is strong: the {contest.recent.name} beat all time. {numbers}.")
    if over.high < 0:
        return Finding(
            "note", f"Recent popularity is weaker than that of all time: the {contest.recent.name}, {numbers}."
        )
    return Finding("unknown", f"Too close to tell whether recent popularity beats all of it: {numbers}.")


def _segment(contest: Contest, segment: Contender) -> Finding:
    over, same = segment.over, contest.of(segment.against).measures[contest.metric]
    assert over is not None
    text = (
        f"By segment ({segment.name}): {metric_name(contest.metric)} {number(segment.measures[contest.metric].mean)} "
        f"against {number(same.mean)} for the {segment.against} of all, {signed(over.mean)} "
        f"{bounds(over, signed)}: "
    )
    if over.low <= 0 <= over.high:
        return Finding("unknown", f"{text}too close to tell whether segments want different things.")
    return Finding("note", f"{text}{'segments want different things' if over.low > 0 else 'segments do not help'}.")


def _drift(drift: Drift | None, clock: bool) -> Finding:
    if drift is None:
        return Finding("unknown", "Too few events to tell how fast popularity changes.")
    shown = [*zip(drift.lags, drift.alike, strict=True)]
    shown = shown[:1] + shown[len(shown) // 2 : len(shown) // 2 + 1] + shown[-1:]
    parts = ", ".join(f"{number(alike, 2)} after {words.length(lag * drift.period, clock)}" for lag, alike in shown)
    if math.isnan(drift.half):
        tail = f"it does not fall to one half within {words.length(drift.lags[-1] * drift.period, clock)}"
    else:
        tail = f"it falls to one half after {words.length(drift.half, clock)}"
    return Finding("note", f"Popularity stays alike by {parts} (1 = unchanged, corrected for chance); {tail}.")


def _fading(fading: Fading | None) -> Finding:
    if fading is None:
        return Finding("unknown", "Too few items enter during the log to tell how they fade.")
    text = (
        f"Followed for {percent(fading.horizon, 0)} of the log's events, the {words.plural(fading.items, 'item')} that "
        f"enter during it have {percent(fading.early.mean)} {bounds(fading.early)} of theirs in the first half of that "
        "time; 50% if they kept level: "
    )
    kept = "they hardly change" if fading.early.low > 1 - FADES and fading.early.high < FADES else "too close to tell"
    kept = "they fade" if fading.early.low >= FADES else "they grow" if fading.early.high <= 1 - FADES else kept
    return Finding("note", f"{text}{kept}.")

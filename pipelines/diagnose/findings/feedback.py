"""What the feedback is."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pipelines.diagnose.diagnosis import Diagnosis
from pipelines.diagnose.feedback import SWAMPED, Feedback, Ratings
from pipelines.diagnose.findings.base import Finding
from pipelines.look.numbers import number, percent

DENSE = 0.3  # share of pairs with an event from which a missing pair may mean something
RARE = 0.01  # share of the events below which a kind teaches little


def feedback(found: Diagnosis) -> Iterator[Finding]:
    """Ratings, kinds, meaning and density."""
    one, events = found.feedback, found.problem.events
    yield _rated(one.ratings)
    if len(one.kinds) > 1:
        kinds = ", ".join(
            f"{kind.name} {kind.events:,} ({percent(kind.events / events)}, strength {kind.weight:g})"
            for kind in one.kinds
        )
        rare = [kind.name for kind in one.kinds if kind.events / events < RARE]
        scarce = f" Too few of {', '.join(rare)} to teach much." if rare else ""
        yield Finding("note", f"{len(one.kinds)} kinds of events: {kinds}.{scarce}")
    else:
        yield Finding("note", f"All {events:,} events are of one kind, with strength {one.kinds[0].weight:g}.")
    if not math.isnan(one.dearest):
        yield _weighed(one)
    yield Finding("note", f'The config says: "{one.meaning}"')
    pairs = f"{percent(one.density, 2)} of the {found.problem.items * found.problem.queries:,} pairs have an event"
    average = f"{one.per_query:,.1f} of {found.problem.items:,} items a query"
    if one.density >= DENSE:
        yield Finding("note", f"{pairs}, {average}: so many that a missing pair may well mean that it was not wanted.")
    else:
        yield Finding("note", f"{pairs}, {average}: a missing pair says unknown, as most was never looked at.")


def _weighed(one: Feedback) -> Finding:
    text = f"As targets of training, the dearest 1% carry {percent(one.dearest)} of all weight"
    if len(one.kinds) > 1:
        text += f"; by kind: {', '.join(f'{kind.name} {percent(kind.share)}' for kind in one.kinds)}"
    if one.dearest <= SWAMPED:
        return Finding("note", f"{text}.")
    return Finding("warning", f"{text}. A step learns from a weighted mean, and so from few of its targets.")


def _rated(ratings: Ratings | None) -> Finding:
    if ratings is None:
        return Finding(
            "note", "Implicit: no event has a rating (data.events.rating), so what is known is that it happened."
        )
    top = max(zip(ratings.counts, ratings.values, strict=True))[1]
    text = (
        f"Explicit: {percent(ratings.present)} of the events carry a rating, mean {number(ratings.mean, 2)}, "
        f"deviation {number(ratings.deviation, 2)}, most often {'about ' if ratings.binned else ''}{top:g}"
    )
    if not math.isnan(ratings.between_queries):
        text += (
            f"; {percent(ratings.between_queries)} of the variance is between queries, who use the scale differently"
        )
    return Finding("note", f"{text}. What was rated was chosen first: the events themselves remain implicit feedback.")

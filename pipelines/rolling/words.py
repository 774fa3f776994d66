"""A replay in plain sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timezone

from pipelines.evaluation.bootstrap import Interval
from pipelines.evaluation.compared import Status, status_of
from pipelines.look.numbers import change, number
from pipelines.rolling.results import UNITS, Difference, Replay, Span, unit_of
from pipelines.rolling.variants import COUNTS, INDEX, TOWERS, describe

_STATUSES: dict[Status, str] = {
    "better": "surely above",
    "level": "neither",
    "worse": "surely below",
    "too few to tell": "too few to tell",
}
_PARTS = {INDEX: "the index", COUNTS: "its counts", TOWERS: "the towers"}


def sentences(replay: Replay) -> list[str]:
    """What staleness costs each contender, what each refresh buys the towers and the chosen popularity, and how these
    two compare."""
    found = []
    for name in replay.contenders:
        own = [one for one in replay.differences if one.contender == name and not one.between]
        stale = replay.staleness(name)
        found.append(_stale(replay, stale))
        if name in (replay.contenders[0], replay.chosen):
            found += [_bought(replay, one) for one in own if one is not stale]
    found += [_compared(replay, one) for one in replay.differences if one.between]
    return [*found, _by_month(replay)] if replay.by == "month" else found


def headline(replay: Replay) -> str:
    """The first of the sentences: what it costs the towers that nothing is refreshed."""
    return sentences(replay)[0]


def step_words(replay: Replay) -> str:
    """The length of a step: 1.2 days, 6 hours, 720 order numbers."""
    if not replay.clock:
        return _counted(replay.spans[0].end - replay.spans[0].start, "order number")
    seconds = replay.step * UNITS[replay.unit]
    unit = unit_of(seconds)
    return _counted(seconds / UNITS[unit], unit)


def spans_words(replay: Replay) -> str:
    """What the replay is looked at in: 10 steps of 1 day; 26 months in steps of 1 day."""
    if replay.by == "step":
        return f"{len(replay.spans)} steps of {step_words(replay)}"
    return f"{_counted(len(replay.spans), 'month')} in steps of {step_words(replay)}"


def month_words(span: Span) -> str:
    """The month that a span lies in."""
    return datetime.fromtimestamp(span.start, timezone.utc).strftime("%Y-%m")


def moment_words(replay: Replay, moment: int) -> str:
    """A moment on the events' time axis: UTC to the minute, or the order number."""
    if not replay.clock:
        return f"{moment:,}"
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%d %H:%M")


def metric_words(metric: str) -> str:
    """A metric as people write it."""
    return metric.replace("ndcg", "NDCG")


def _lapse(replay: Replay, span: Span) -> str:
    return _counted(span.age, replay.unit)


def _counted(amount: float, unit: str) -> str:
    return f"{amount:,.3g} {unit}{'s' * (amount != 1)}" if amount < 1000 else f"{amount:,.0f} {unit}s"


def _stale(replay: Replay, difference: Difference) -> str:
    main, *_ = replay.metrics
    effect = {metric: _minus(value) for metric, value in difference.overall.items()}
    text = f"{difference.contender}: with nothing refreshed since the test cut {_outcome(effect, 'gains', 'loses')}"
    if difference.per_unit is None or effect[main].high >= 0:
        return text
    slope, points = difference.per_unit[main], difference.by_step[main]
    (span, first), *_, (last_span, last) = (
        (span, point) for span, point in zip(replay.spans, points, strict=True) if span.number and point is not None
    )
    course = (
        f"{number(first.mean)} after {_lapse(replay, span)} and {number(last.mean)} after {_lapse(replay, last_span)}"
    )
    text += f"; of {metric_words(main)} {course}"
    if slope.low <= 0 <= slope.high:
        return f"{text}, no trend that can be told from chance"
    more, slope = ("more", slope) if slope.low > 0 else ("less", _minus(slope))
    return f"{text}, {_amount(slope, 4)} {more} each {replay.unit}"


def _bought(replay: Replay, difference: Difference) -> str:
    (part,) = difference.added
    verb = "retraining" if part == TOWERS else "refreshing"
    often = f"every {replay.retrain_every} steps" if part == TOWERS else f"every {step_words(replay)}"
    top = f" on top of {describe(difference.base_refreshed)}" if difference.base_refreshed else ""
    subject = f"{difference.contender}: {verb} {_PARTS.get(part, part)} {often}{top}"
    return f"{subject} {_outcome(difference.overall, 'buys', 'costs')}"


def _compared(replay: Replay, difference: Difference) -> str:
    state = "everything but the towers" if difference.refreshed else "nothing"
    subject = f"{difference.contender} against {difference.base_contender}, {state} refreshed on both sides,"
    return f"{subject} {_outcome(difference.overall, 'gains', 'loses')}"


def _by_month(replay: Replay) -> str:
    """How the towers do against the chosen popularity from month to month."""
    main, *_ = replay.metrics
    points = [point for point in replay.against.by_step[main] if point is not None]
    counts = Counter(status_of(point, replay.min_queries) for point in points)
    said = ", ".join(f"{words} in {counts[status]}" for status, words in _STATUSES.items() if counts[status])
    text = f"towers against {replay.chosen} by month, everything but the towers refreshed, {metric_words(main)}: {said}"
    told = [
        (point, span)
        for point, span in zip(replay.against.by_step[main], replay.spans, strict=True)
        if point is not None and status_of(point, replay.min_queries) != "too few to tell"
    ]
    if not told:
        return text
    worst, span = min(told, key=lambda one: one[0].mean)
    return f"{text}; least in {month_words(span)}, {change(worst)}"


def _outcome(found: Mapping[str, Interval], up: str, down: str) -> str:
    """The metrics that surely rise, those that surely fall, and those that chance may have moved."""
    rising = {metric: value for metric, value in found.items() if value.low > 0}
    falling = {metric: _minus(value) for metric, value in found.items() if value.high < 0}
    unsure = {metric: value for metric, value in found.items() if value.low <= 0 <= value.high}
    chance = ", ".join(f"{change(value)} {metric_words(metric)}" for metric, value in unsure.items())
    if len(unsure) == len(found):
        return f"{up} nothing that can be told from chance: {chance}"
    clauses = [f"{verb} {_amounts(part)}" for verb, part in ((up, rising), (down, falling)) if part]
    return " and ".join(clauses) + (f" (not to be told from chance: {chance})" if unsure else "")


def _amounts(found: Mapping[str, Interval]) -> str:
    return ", ".join(f"{_amount(value)} {metric_words(metric)}" for metric, value in found.items())


def _amount(found: Interval, digits: int = 3) -> str:
    return f"{number(found.mean, digits)} [{number(found.low, digits)}, {number(found.high, digits)}]"


def _minus(found: Interval) -> Interval:
    return Interval(-found.mean, -found.high, -found.low, found.n)

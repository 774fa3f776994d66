"""From the metrics of every request to curves, differences and slopes with their intervals."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from configs.schema import Config
from pipelines.evaluation.bootstrap import Interval, intervals
from pipelines.rolling.replay import Measured, Variant
from pipelines.rolling.results import UNITS, ByStep, Curve, Difference, Replay, Span, unit_of
from pipelines.rolling.steps import periods, step_length
from pipelines.rolling.variants import TOWERS


def judge(config: Config, measured: Measured, chosen: str) -> Replay:
    """Everything that the replay found; `chosen`: the popularity that the towers are held against."""
    steps, clock = measured.steps, config.data.events.time is not None
    first, last = steps[0].start.moment, steps[-1].end.moment
    length, period_of_step = step_length(config, last - first), periods(config, steps)
    unit = unit_of(length if config.rolling.by == "step" else UNITS["week"]) if clock else "step"
    size = UNITS[unit] if clock else length
    period = period_of_step[measured.step]
    spans = tuple(_spans(measured, period_of_step, np.bincount(period, minlength=period_of_step[-1] + 1), size))
    age = np.array([span.age for span in spans])[period]
    pairs = list(_pairs(measured, chosen))
    apart = [measured.values[ours] - measured.values[base] for ours, base in pairs]
    means = _means(measured, period, len(spans), [*measured.values.values(), *apart], config.seed)
    slopes = _slopes(measured, period, apart, age, config.seed)
    return Replay(
        metrics=measured.metrics,
        chosen=chosen,
        unit=unit,
        step=length / size,
        clock=clock,
        retrain_every=config.rolling.retrain_every,
        queries=len(np.unique(measured.query)),
        spans=spans,
        curves=tuple(Curve(*variant, *next(means)) for variant in measured.values),
        differences=tuple(
            Difference(*ours, *base, *next(means), slope) for (ours, base), slope in zip(pairs, slopes, strict=True)
        ),
        by=config.rolling.by,
        each_event=config.rolling.each_event,
        min_queries=config.gate.floors.min_users,
    )


def _spans(measured: Measured, period_of_step: np.ndarray, requests: np.ndarray, size: int) -> Iterator[Span]:
    """The periods, of which each holds some consecutive steps; a query counts once in each."""
    beginning = measured.steps[0].start.moment
    for number, asked in enumerate(requests):
        inside = np.flatnonzero(period_of_step == number)
        start = measured.steps[inside[0]].start.moment
        came_since, without_past = (
            len(np.unique(np.concatenate([queries[step] for step in inside])))
            for queries in (measured.came_since, measured.without_past)
        )
        yield Span(
            number=number,
            start=start,
            end=measured.steps[inside[-1]].end.moment,
            age=(start - beginning) / size,
            requests=int(asked),
            came_since=came_since,
            without_past=without_past,
        )


def _pairs(measured: Measured, chosen: str) -> Iterator[tuple[Variant, Variant]]:
    """Within a contender: each variant against those with one part less, and the most refreshed against nothing.
    Between towers and the chosen popularity: nothing refreshed, and everything but the towers; that also between
    towers and the other popularities."""
    variants = list(measured.values)
    fullest = {name: max((r for n, r in variants if n == name and TOWERS not in r), key=len) for name, _ in variants}
    for name, more in variants:
        for other, less in variants:
            one_step = len(more) == len(less) + 1 or (not less and more == fullest[name])
            if name == other and set(less) < set(more) and one_step:
                yield (name, more), (name, less)
    ours = variants[0][0]
    yield (ours, ()), (chosen, ())
    for base in dict.fromkeys((chosen, *fullest)):
        if base != ours:
            yield (ours, fullest[ours]), (base, fullest[base])


def _means(
    measured: Measured, period: np.ndarray, count: int, rows: list[np.ndarray], seed: int
) -> Iterator[tuple[dict[str, Interval], dict[str, ByStep]]]:
    """Of each of `rows` [metrics, R], by metric: the mean over all requests, and in each of `count` periods."""
    values, query = np.concatenate(rows), measured.query
    overall, parts = intervals(values, seed=seed, cluster=query), []
    for number in range(count):
        inside = period == number
        part = values[:, inside]
        asked = bool(part.shape[1])
        parts.append(intervals(part, seed=seed, cluster=query[inside]) if asked else [None] * len(values))
    by_step = list(zip(*parts, strict=True))
    for start in range(0, len(values), len(measured.metrics)):
        places = dict(zip(measured.metrics, range(start, len(values)), strict=False))
        yield (
            {name: overall[place] for name, place in places.items()},
            {name: by_step[place] for name, place in places.items()},
        )


def _slopes(
    measured: Measured, period: np.ndarray, rows: list[np.ndarray], age: np.ndarray, seed: int
) -> list[dict[str, Interval] | None]:
    """Of each of `rows` [metrics, R], by metric: its least-squares slope on `age` [R] after the first period.

    The first is left out: nothing is stale yet, and what is lost at once would pass for a slope. Intervals are those
    of the mean of the slope's influence values, to first order the slope's own (Efron and Tibshirani, 1993, ch. 21).
    """
    later = period > 0
    if len(np.unique(age[later])) < 2:
        return [None] * len(rows)
    x = age[later] - age[later].mean()
    values = np.concatenate(rows)[:, later]
    values -= values.mean(axis=1, keepdims=True)
    slope = values @ x[:, None] / (x @ x)
    influence = slope + x * (values - slope * x) * len(x) / (x @ x)
    found = iter(intervals(influence, seed=seed, cluster=measured.query[later]))
    return [dict(zip(measured.metrics, found, strict=False)) for _ in rows]

"""From the metrics of every request to curves, differences and slopes with their intervals."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from configs.schema import Config
from pipelines.evaluation.bootstrap import Interval, intervals
from pipelines.rolling.replay import Measured, Variant
from pipelines.rolling.results import ByStep, Curve, Difference, Replay, Span
from pipelines.rolling.steps import step_length
from pipelines.rolling.variants import TOWERS

_UNITS = (("week", 7 * 86_400, 7 * 86_400), ("day", 86_400, 6 * 3_600), ("hour", 3_600, 0))
"""Name and length of what time is counted in, and the shortest step that it is for, in seconds."""


def judge(config: Config, measured: Measured, chosen: str) -> Replay:
    """Everything that the replay found; `chosen`: the popularity that the towers are held against."""
    first, last = measured.steps[0][0].start.moment, measured.steps[-1][0].end.moment
    length, clock = step_length(config, last - first), config.data.events.time is not None
    unit, size = next((name, size) for name, size, least in _UNITS if length >= least) if clock else ("step", length)
    spans = tuple(
        Span(
            number=step.number,
            start=step.start.moment,
            end=step.end.moment,
            age=(step.start.moment - first) / size,
            requests=len(asked.requests),
            came_since=asked.came_since,
            without_past=asked.without_past,
        )
        for step, asked in measured.steps
    )
    age = np.array([span.age for span in spans])[measured.step]
    pairs = list(_pairs(measured, chosen))
    apart = [measured.values[ours] - measured.values[base] for ours, base in pairs]
    means = _means(measured, [*measured.values.values(), *apart], config.seed)
    slopes = _slopes(measured, apart, age, config.seed)
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
    )


def _pairs(measured: Measured, chosen: str) -> Iterator[tuple[Variant, Variant]]:
    """Within a contender: each variant against those with one part less, and the most refreshed against nothing.
    Between towers and the chosen popularity: nothing refreshed, and everything but the towers."""
    variants = list(measured.values)
    fullest = {name: max((r for n, r in variants if n == name and TOWERS not in r), key=len) for name, _ in variants}
    for name, more in variants:
        for other, less in variants:
            one_step = len(more) == len(less) + 1 or (not less and more == fullest[name])
            if name == other and set(less) < set(more) and one_step:
                yield (name, more), (name, less)
    ours = variants[0][0]
    yield (ours, ()), (chosen, ())
    yield (ours, fullest[ours]), (chosen, fullest[chosen])


def _means(
    measured: Measured, rows: list[np.ndarray], seed: int
) -> Iterator[tuple[dict[str, Interval], dict[str, ByStep]]]:
    """Of each of `rows` [metrics, R], by metric: the mean over all requests, and in each step."""
    values = np.concatenate(rows)
    overall, steps = intervals(values, seed=seed, cluster=measured.query), []
    for number in range(len(measured.steps)):
        part = values[:, measured.step == number]
        steps.append(intervals(part, seed=seed) if part.shape[1] else [None] * len(values))
    by_step = list(zip(*steps, strict=True))
    for start in range(0, len(values), len(measured.metrics)):
        places = dict(zip(measured.metrics, range(start, len(values)), strict=False))
        yield (
            {name: overall[place] for name, place in places.items()},
            {name: by_step[place] for name, place in places.items()},
        )


def _slopes(measured: Measured, rows: list[np.ndarray], age: np.ndarray, seed: int) -> list[dict[str, Interval] | None]:
    """Of each of `rows` [metrics, R], by metric: its least-squares slope on `age` [R] after the first step.

    The first is left out: nothing is stale yet, and what is lost at once would pass for a slope. Intervals are those
    of the mean of the slope's influence values, to first order the slope's own (Efron and Tibshirani, 1993, ch. 21).
    """
    later = measured.step > 0
    if len(np.unique(age[later])) < 2:
        return [None] * len(rows)
    x = age[later] - age[later].mean()
    values = np.concatenate(rows)[:, later]
    values -= values.mean(axis=1, keepdims=True)
    slope = values @ x[:, None] / (x @ x)
    influence = slope + x * (values - slope * x) * len(x) / (x @ x)
    found = iter(intervals(influence, seed=seed, cluster=measured.query[later]))
    return [dict(zip(measured.metrics, found, strict=False)) for _ in rows]

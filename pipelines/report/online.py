"""From offline to online: the metric that should move, and what must hold meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from configs.schema import Config
from pipelines.report.experiment import Experiment
from pipelines.report.regressions import Regression
from pipelines.report.variety import Change
from pipelines.report.wording import change, listed, metric_name, number, percent


def online_metric(config: Config, test: Experiment) -> str:
    """Which online metric is expected to move, and which way."""
    weights = config.data.events.weights
    kind = f" (above all `{max(weights, key=lambda name: weights[name])}` events)" if weights else ""
    direction = "rise" if test.difference.low > 0 else "fall" if test.difference.high < 0 else "hardly move"
    return (
        f"The share of queries that take at least one of the {config.gate.list_k} items shown{kind} is expected to "
        f"{direction}. Its offline stand-in, {metric_name(test.metric)}, is {percent(test.rate)} against "
        f"{percent(test.rival_rate)} for {test.rival} (difference {change(test.difference)})."
    )


def guardrails(test: Experiment, regressions: Sequence[Regression], changes: Sequence[Change]) -> Iterator[str]:
    """What must not get worse while the metric moves."""
    for one in changes:
        if one.rival == test.rival and one.metric in ("coverage", "gini"):
            fell = " It is worse offline already." if one.narrower else ""
            found = f"offline {number(one.ours)}, {one.rival} {number(one.theirs)}"
            yield f"{one.name[0].upper()}{one.name[1:]}: no worse than now ({found}).{fell}"
    narrower = dict.fromkeys(one.name for one in changes if one.narrower and one.metric not in ("coverage", "gini"))
    if narrower:
        yield f"What lists lost offline: {', '.join(narrower)}."
    if regressions:
        worse = listed([one.slice for one in regressions], most=6)
        yield f"Slices that regressed offline, watched one by one: {worse}."
    yield "Latency (p99), errors and the share of fallback answers: no worse than now."
    yield "Queries that come back the week after, and complaints, hides or returns: no worse than now."

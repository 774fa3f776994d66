"""From offline to online: the metric that should move, what must hold meanwhile, and whether a test is earned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from configs.schema import Config
from pipelines.report.contenders import Contender, Contenders
from pipelines.report.experiment import Experiment
from pipelines.report.wording import change, metric_name, number, percent
from pipelines.verdicts import Verdict


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


def guardrails(table: Contenders | None, test: Experiment, worse: Sequence[Verdict]) -> Iterator[str]:
    """What must not get worse while the metric moves."""
    rows = {row.name: row for row in table.rows} if table is not None else {}
    if "final list" in rows and test.rival in rows:
        yield from _variety(rows["final list"], rows[test.rival])
    if worse:
        yield f"Slices that regressed offline, watched one by one: {', '.join(v.slice for v in worse)}."
    yield "Latency (p99), errors and the share of fallback answers: no worse than now."
    yield "Queries that come back the week after, and complaints, hides or returns: no worse than now."


def _variety(ours: Contender, theirs: Contender) -> Iterator[str]:
    if ours.coverage is None or theirs.coverage is None:
        return
    fell = " It falls offline already." if ours.coverage < theirs.coverage else ""
    yield (
        f"Catalogue coverage must not fall below today's (offline {percent(ours.coverage)} of items shown at least "
        f"once, {theirs.name} {percent(theirs.coverage)}).{fell}"
    )
    yield f"Concentration of what is shown (Gini {number(ours.gini)}, {theirs.name} {number(theirs.gini)})."


def earns_test(won: bool, unfinished: bool, test: Experiment | None) -> tuple[bool | None, str]:
    """Whether an A/B test is earned, and why; None where that cannot be said. won: offline, gates included."""
    if unfinished or test is None:
        return None, "Whether an A/B test is earned cannot be said before the final list has been judged."
    if not won:
        return False, (
            "This does not earn an A/B test: the model has to beat the best baseline and pass its gates first."
        )
    if test.difference.low <= 0:
        return False, (
            f"This does not earn an A/B test yet: {metric_name(test.metric)} does not surely rise "
            f"({change(test.difference)}), so a test of it would most likely end without a result."
        )
    if test.weeks is not None:
        weeks = f"{test.weeks} week{'s' * (test.weeks > 1)}"
        return True, f"This earns an A/B test: the measured difference could be detected in {weeks}."
    needed = f"{test.needed:,} queries in each arm would detect it" if test.needed else "it is too small"
    if not test.detectable:
        return None, f"Whether this earns an A/B test depends on traffic, and {test.problem}; {needed}."
    longest = test.detectable[-1].weeks
    return False, (
        f"This does not earn an A/B test at the traffic of this log: the measured difference "
        f"({number(test.difference.mean)}) is too small to be detected in {longest} "
        f"week{'s' * (longest > 1)}; {needed}."
    )

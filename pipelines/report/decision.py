"""The decision a report ends with: who won, what got worse, what to do next, and whether it earns an A/B test."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from configs.schema import Config
from pipelines.evaluation.bootstrap import Interval
from pipelines.report.contenders import Contenders
from pipelines.report.experiment import Experiment
from pipelines.report.online import earns_test, guardrails, online_metric
from pipelines.report.parts import Ranking, Replay
from pipelines.report.wording import change, is_lift, metric_name, number, percent, verdict_bounds, verdict_value
from pipelines.verdicts import Verdict, passed

Outcome = Literal["not run yet", "unfinished", "win", "gate failed", "popularity wins", "baseline wins", "undecided"]
CAVEAT = "An offline result qualifies a model for an A/B test; it proves nothing about what happens online."


@dataclass(frozen=True)
class Comparison:
    """A contender of ours against the best baseline on a metric, paired by request."""

    name: str
    metric: str
    rival: str
    ours: float
    theirs: float
    difference: Interval

    @property
    def sentence(self) -> str:
        """Who is ahead, by how much and how surely."""
        low, high = self.difference.low, self.difference.high
        many = self.name == "towers"
        if low > 0:
            verb, sure = "beat" if many else "beats", "the 95% interval lies above 0"
        elif high < 0:
            verb, sure = "lose to" if many else "loses to", "the 95% interval lies below 0"
        else:
            verb, sure = "cannot be told from", "the 95% interval holds 0"
        return (
            f"The {self.name} {verb} {self.rival} on {metric_name(self.metric)}: {number(self.ours)} against "
            f"{number(self.theirs)}, {change(self.difference)}; {sure}."
        )


@dataclass(frozen=True)
class Decision:
    """Everything a person needs to act. regressed: slices surely worse than the best popularity; unclear: slices
    with too few requests to tell. earns_test: None where that cannot be said."""

    outcome: Outcome
    headline: str
    comparisons: tuple[Comparison, ...]
    good: tuple[str, ...]
    bad: tuple[str, ...]
    regressed: tuple[str, ...]
    unclear: tuple[str, ...]
    next_steps: tuple[str, ...]
    online_metric: str | None
    guardrails: tuple[str, ...]
    earns_test: bool | None
    test_reason: str
    caveat: str = CAVEAT


def decide(
    config: Config,
    run: str,
    table: Contenders | None,
    verdicts: Sequence[Verdict],
    test: Experiment | None,
    ranking: Ranking | None,
    replay: Replay | None,
) -> Decision:
    """Draw the conclusion; `run` is the run's folder as a person would type it."""
    found = tuple(comparisons(table)) if table is not None else ()
    outcome = _outcome(found, verdicts)
    worse = [v for v in verdicts if v.slice != "all" and is_lift(v) and (v.high < 0 or v.status == "fail")]
    regressed = tuple(f"{v.slice}: {v.metric} {verdict_value(v)} [{verdict_bounds(v)}], n={v.n:,}" for v in worse)
    unclear = tuple(f"{v.slice} (n={v.n:,})" for v in verdicts if v.slice != "all" and v.status == "cannot tell")
    earns, reason = earns_test(outcome == "win", outcome in ("not run yet", "unfinished"), test)
    return Decision(
        outcome,
        _headline(outcome, found, verdicts),
        found,
        tuple(_good(found, verdicts, ranking, replay)),
        tuple(_bad(found, verdicts, worse, ranking)),
        regressed,
        unclear,
        tuple(_next(outcome, found, verdicts, shlex.quote(run), earns)),
        None if test is None else online_metric(config, test),
        tuple(guardrails(table, test, worse)) if test is not None else (),
        earns,
        reason,
    )


def comparisons(table: Contenders) -> Iterator[Comparison]:
    """The final list on the list metric and the towers on candidate recall, each where it has run."""
    rows = {row.name: row for row in table.rows}
    for name, metric in (("final list", table.metrics[0]), ("towers", table.metrics[1])):
        measure = rows[name].measures.get(metric) if name in rows else None
        if measure is not None and measure.difference is not None:
            rival = table.best_baseline[metric]
            theirs = rows[rival].measures[metric].value.mean
            yield Comparison(name, metric, rival, measure.value.mean, theirs, measure.difference)


def _outcome(found: Sequence[Comparison], verdicts: Sequence[Verdict]) -> Outcome:
    if not found:
        return "not run yet"
    first = found[0]
    if first.name != "final list":
        return "unfinished"
    if first.difference.high < 0:
        return "popularity wins" if is_popularity(first.rival) else "baseline wins"
    if first.difference.low <= 0:
        return "undecided"
    return "win" if passed(verdicts) else "gate failed"


def is_popularity(name: str) -> bool:
    """Whether a baseline is one that `twinspire publish --policy popularity` can publish."""
    return name.startswith("popularity")


def _headline(outcome: Outcome, found: Sequence[Comparison], verdicts: Sequence[Verdict]) -> str:
    if outcome == "not run yet":
        return "Nothing to decide yet: no stage of the model has been judged."
    first = found[0]
    if outcome == "unfinished":
        return f"Not finished: the ranker has not run yet. {first.sentence}"
    state = _gate_state(verdicts)
    words = {
        "win": f"The model wins. {first.sentence} {state}",
        "gate failed": f"The final list is ahead, but the model may not be published. {state}",
        "popularity wins": f"Popularity wins: {first.rival} is better than the model. {first.sentence} {state}",
        "baseline wins": f"A baseline wins: {first.rival} is better than the model. {first.sentence} {state}",
        "undecided": f"No winner. {first.sentence} {state}",
    }
    return words[outcome]


def _gate_state(verdicts: Sequence[Verdict]) -> str:
    if not verdicts:
        return "No gate has run yet."
    blocking = [v for v in verdicts if not passed([v])]
    if not blocking:
        return f"All gates passed ({len(verdicts)} checks)."
    names = "; ".join(f"{v.gate}, {v.slice}: {v.metric} ({v.status})" for v in blocking[:3])
    more = f" and {len(blocking) - 3} more" if len(blocking) > 3 else ""
    return f"Gate failed: {names}{more}."


def _good(
    found: Sequence[Comparison], verdicts: Sequence[Verdict], ranking: Ranking | None, replay: Replay | None
) -> Iterator[str]:
    yield from (one.sentence for one in found if one.difference.low > 0)
    if ranking is not None and ranking.gain is not None and ranking.gain.low > 0:
        yield f"The ranker improves on the towers' order: {change(ranking.gain)}."
    fine = sum(v.status == "pass" for v in verdicts)
    if fine:
        yield f"{fine} of {len(verdicts)} gate checks pass."
    if replay is not None:
        yield (
            f"The exported model answers as the offline one: {percent(replay.python, 2)} of ids agree in Python, "
            f"{percent(replay.c_loader, 2)} through the C loader ({replay.requests:,} requests)."
        )


def _bad(
    found: Sequence[Comparison], verdicts: Sequence[Verdict], worse: Sequence[Verdict], ranking: Ranking | None
) -> Iterator[str]:
    yield from (one.sentence for one in found if one.difference.low <= 0)
    for v in verdicts:
        if not passed([v]):
            said = "fails" if v.status == "fail" else "cannot be told"
            yield f"{v.gate.capitalize()} gate, {v.slice}: {v.metric} {verdict_value(v)} [{verdict_bounds(v)}] {said}."
    allowed = [v.slice for v in worse if v.status != "fail"]
    if allowed:
        yield f"Worse than the best popularity, though within the floor or with few requests: {', '.join(allowed)}."
    if ranking is not None and ranking.gain is not None and ranking.gain.low <= 0:
        sure = "makes the towers' order worse" if ranking.gain.high < 0 else "shows no gain over the towers' order"
        yield f"The ranker {sure}: {change(ranking.gain)}."
    if ranking is not None and ranking.rerank is not None and ranking.rerank.high < 0:
        yield f"Reranking for variety costs accuracy: {change(ranking.rerank)}."


def _next(
    outcome: Outcome, found: Sequence[Comparison], verdicts: Sequence[Verdict], run: str, earns: bool | None
) -> Iterator[str]:
    fallback = f"`twinspire publish --policy popularity {run}` publishes popularity"
    if outcome in ("not run yet", "unfinished"):
        yield f"Run the remaining stages: `twinspire run {run}`."
        return
    if outcome == "win":
        yield f"`twinspire publish {run}` publishes the model, where the run has not done so."
        yield "Start the A/B test sized below." if earns else "No A/B test yet; the reason is given with its size."
        return
    if outcome == "popularity wins":
        yield f"{fallback}: it is better on these requests, and cheaper to run."
    elif outcome == "baseline wins":
        yield (
            f"Do not prefer the model to {found[0].rival}, which twinspire measures but does not publish. "
            f"{fallback}, the simplest choice."
        )
    elif outcome == "undecided":
        yield f"{fallback}: while no difference shows, the simpler choice is the safer one."
    else:
        yield f"Mend what failed; until then, {fallback}."
    yield from _mend(verdicts)


def _mend(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Where to look first, by the kind of check that does not pass."""
    blocking = [v for v in verdicts if not passed([v])]
    if any(not is_lift(v) for v in blocking):
        yield 'Searcher: raise index.target_recall, or set index.searcher = "exact".'
    if any(is_lift(v) and v.slice == "all" and v.gate == "candidates" for v in blocking):
        yield "Retrieval: compare train.target and trend.windows, and look at the training curves."
    if any(is_lift(v) and v.slice == "all" and v.gate != "candidates" for v in blocking):
        yield "List: raise ranker.max_requests, or rerank.relevance towards 1."
    slices = [v.slice for v in blocking if v.slice != "all"]
    if slices:
        yield f"Slices: add features that tell these apart: {', '.join(slices)}."
    if any(v.status == "cannot tell" for v in blocking):
        yield "Too few requests to tell: move split.test earlier, or bring more data."

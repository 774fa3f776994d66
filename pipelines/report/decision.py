"""The decision a report ends with: ready for an A/B test or not, why, what got worse, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Literal

from pipelines.evaluation.compared import is_popularity
from pipelines.report.evidence import Comparison, Evidence
from pipelines.report.online import guardrails, online_metric
from pipelines.report.reasons import Kind, Reason, against
from pipelines.report.regressions import Regression
from pipelines.report.variety import HEADLINE, Change
from pipelines.report.wording import change, is_lift, listed, number
from pipelines.verdicts import passed

Word = Literal["ready for an A/B test", "not ready", "cannot tell yet"]
CAVEAT = "An offline result qualifies a model for an A/B test; it proves nothing about what happens online."


@dataclass(frozen=True)
class Decision:
    """Everything a person needs to act.

    reasons: what stands in the way; comparisons: the model against the strongest baseline on each headline metric;
    regressions, unclear: slices that are surely worse, and those too small to tell; changes: how varied the lists
    are; online_metric: what should move, None before the final list has been judged.
    """

    verdict: Word
    headline: str
    reasons: tuple[Reason, ...]
    comparisons: tuple[Comparison, ...]
    good: tuple[str, ...]
    bad: tuple[str, ...]
    regressions: tuple[Regression, ...]
    unclear: tuple[str, ...]
    changes: tuple[Change, ...]
    gates: str
    online_metric: str | None
    guardrails: tuple[str, ...]
    next_steps: tuple[str, ...]
    caveat: str = CAVEAT


def decide(evidence: Evidence) -> Decision:
    """Draw the conclusion: one thing that stands in the way is a no, and missing stages leave it open."""
    reasons = tuple(against(evidence))
    verdict: Word = "not ready" if reasons else "cannot tell yet" if evidence.missing else "ready for an A/B test"
    return Decision(
        verdict,
        _headline(evidence),
        reasons,
        tuple(evidence.headlines),
        tuple(_good(evidence)),
        tuple(_bad(evidence, reasons)),
        evidence.regressions,
        evidence.unclear,
        evidence.changes,
        _gates(evidence),
        None if evidence.test is None else online_metric(evidence.config, evidence.test),
        tuple(guardrails(evidence.test, evidence.regressions, evidence.changes)) if evidence.test is not None else (),
        tuple(_next(verdict, evidence, reasons)),
    )


def _headline(evidence: Evidence) -> str:
    found, missing = list(evidence.headlines), evidence.missing
    if not found:
        return "Nothing to decide yet: no stage of the model has been compared with baselines."
    if not missing:
        return found[0].sentence
    return f"{found[0].sentence} Not finished: {', '.join(missing)} {'have' if missing[1:] else 'has'} not run yet."


def _gates(evidence: Evidence) -> str:
    verdicts = evidence.verdicts
    if not verdicts:
        return "No gate has run yet."
    blocking = [v for v in verdicts if not passed([v])]
    if not blocking:
        return f"All gates passed ({len(verdicts)} checks)."
    names = dict.fromkeys(f"{v.gate} gate, {v.slice} ({v.status})" for v in blocking)
    return f"{len(blocking)} of {len(verdicts)} checks did not pass: {'; '.join(names)}."


def _good(evidence: Evidence) -> Iterator[str]:
    yield from (one.sentence for one in evidence.headlines if one.difference.low > 0)
    ranking = evidence.ranking
    if ranking is not None and ranking.gain is not None and ranking.gain.low > 0:
        yield f"The ranker improves on the towers' order: {change(ranking.gain)}."
    yield from _varied("gain", [one for one in evidence.changes if one.wider])


def _bad(evidence: Evidence, reasons: Sequence[Reason]) -> Iterator[str]:
    yield from (reason.text for reason in reasons)
    yield from (one.sentence for one in evidence.headlines if one.difference.low <= 0 and one.name != "final list")
    allowed = [one for one in evidence.regressions if not one.stops]
    if allowed:
        yield f"Surely worse in slices that do not stand in the way: {listed([one.slice for one in allowed])}."
    ranking = evidence.ranking
    if ranking is not None and ranking.gain is not None and ranking.gain.low <= 0:
        sure = "makes the towers' order worse" if ranking.gain.high < 0 else "shows no gain over the towers' order"
        yield f"The ranker {sure}: {change(ranking.gain)}."
    if ranking is not None and ranking.rerank is not None and ranking.rerank.high < 0:
        yield f"Reranking for variety costs accuracy: {change(ranking.rerank)}."
    yield from _varied("lose", [one for one in evidence.changes if one.narrower])


def _varied(verb: str, changes: Sequence[Change]) -> Iterator[str]:
    """What the lists gain or lose besides accuracy, a sentence for each rival."""
    for rival in dict.fromkeys(one.rival for one in changes):
        kept = [one for one in changes if one.rival == rival and one.metric in HEADLINE]
        parts = [f"{one.name} {number(one.theirs, 2)} to {number(one.ours, 2)}" for one in kept]
        if parts:
            yield f"Against {rival} lists {verb}: {', '.join(parts)}."


def _next(verdict: Word, evidence: Evidence, reasons: Sequence[Reason]) -> Iterator[str]:
    run = shlex.quote(evidence.run)
    if verdict == "cannot tell yet":
        yield f"Run the remaining stages: `twinspire run {run}`."
        return
    if verdict == "ready for an A/B test":
        yield f"`twinspire publish {run}` publishes the model, where the run has not done so."
        yield "Decide whether an effect that a test can detect would be worth having; if so, start the test."
        return
    kinds = {reason.kind for reason in reasons}
    if "protocol" in kinds:
        yield 'Run again with split.protocol = "global_time"; nothing can be decided on this split.'
        return
    yield from _mend(evidence, kinds)
    yield f"Until then, `twinspire publish --policy popularity {run}` publishes popularity, the simplest choice."


def _mend(evidence: Evidence, kinds: Set[Kind]) -> Iterator[str]:
    """Where to look first, by what stands in the way."""
    if "replay" in kinds:
        yield "Export: find out why the exported graph answers otherwise before anything else."
    training = evidence.training
    improving = training is not None and training.cut_short
    if training is not None and improving:
        yield f"Towers: raise train.max_epochs; they were still improving when its {training.max_epochs} ended."
    if "few" in kinds:
        yield "Too few requests: move split.test earlier, or bring more data."
    if "alone" in kinds:
        yield "Baselines: switch on what [baselines] leaves out; neighbours and content are quick."
    if "baseline" in kinds and evidence.board is not None:
        rival = evidence.board.strongest[evidence.board.metrics[0]]
        strong = "" if is_popularity(rival) else ", which twinspire measures but does not publish"
        yield f"Do not prefer the model to {rival}{strong}. Find out what it knows that the model does not."
    blocking = [v for v in evidence.verdicts if not passed([v]) and v.gate != "replay"]
    if any(not is_lift(v) for v in blocking):
        yield 'Searcher: raise index.target_recall, or set index.searcher = "exact".'
    if not improving and any(is_lift(v) and v.slice == "all" and v.gate == "candidates" for v in blocking):
        yield "Retrieval: compare train.target and trend.windows, and look at the training curves."
    if any(is_lift(v) and v.slice == "all" and v.gate != "candidates" for v in blocking):
        yield "List: raise ranker.max_requests, or rerank.relevance towards 1."
    slices = dict.fromkeys(
        [v.slice for v in blocking if v.slice != "all"] + [one.slice for one in evidence.regressions if one.stops]
    )
    if slices:
        yield f"Slices: add features that tell these apart: {', '.join(slices)}."
    if "traffic" in kinds:
        yield "Traffic: test a metric that varies less, or gather more queries before a test."

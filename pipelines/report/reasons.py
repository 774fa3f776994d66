"""What speaks against an A/B test: each thing that must not be so before people see a model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pipelines.evaluation.compared import is_popularity
from pipelines.report.evidence import Evidence
from pipelines.report.wording import change, listed, metric_name, number, percent, verdict_bounds, verdict_value
from pipelines.verdicts import passed

Kind = Literal["protocol", "few", "alone", "baseline", "gate", "slice", "replay", "traffic"]
_LEAKS = {
    "leave_last_out": "what others did later is known when an earlier event is predicted",
    "random": "later events explain earlier ones",
}


@dataclass(frozen=True)
class Reason:
    """One thing that stands in the way, as a sentence."""

    kind: Kind
    text: str


def against(evidence: Evidence) -> Iterator[Reason]:
    """Everything that stands in the way, the worst first; what has not been measured yet is not against it."""
    yield from _protocol(evidence)
    yield from _few(evidence)
    yield from _alone(evidence)
    yield from _baselines(evidence)
    yield from _gates(evidence)
    yield from _slices(evidence)
    yield from _traffic(evidence)


def _protocol(evidence: Evidence) -> Iterator[Reason]:
    protocol = evidence.config.split.protocol
    if protocol in _LEAKS:
        yield Reason("protocol", f"The split ({protocol}) leaks the future: {_LEAKS[protocol]}.")


def _few(evidence: Evidence) -> Iterator[Reason]:
    board, least = evidence.board, evidence.config.gate.floors.min_users
    if board is not None and board.requests < least:
        asked = f"{board.requests} request{'s' * (board.requests != 1)}"
        text = f"Only {asked} could be judged; expected at least {least} (gate.floors.min_users)."
        yield Reason("few", text)


def _alone(evidence: Evidence) -> Iterator[Reason]:
    """With every other baseline left out, one of them could be as good and nothing would say so."""
    if evidence.board is not None and evidence.judged and all(is_popularity(b.name) for b in evidence.board.baselines):
        yield Reason("alone", "It was compared with popularity alone: every other baseline is left out.")


def _baselines(evidence: Evidence) -> Iterator[Reason]:
    if evidence.board is None or not evidence.judged:
        return
    found = evidence.comparisons(evidence.board.metrics[0])
    unbeaten = [one for one in found if one.difference.low <= 0]
    if not unbeaten:
        return
    first, others = unbeaten[0], [one.rival for one in unbeaten[1:]]
    verb = "loses to" if first.difference.high < 0 else "does not surely beat"
    text = f"It {verb} {first.rival}: {metric_name(first.metric)} {change(first.difference)}."
    if is_popularity(first.rival) and any(one.rival == "popularity" for one in found if one not in unbeaten):
        text += " Beating popularity of all time is not enough."
    if others:
        text += f" Nor does it surely beat {listed(others)}."
    yield Reason("baseline", text)


def _gates(evidence: Evidence) -> Iterator[Reason]:
    for v in evidence.verdicts:
        if passed([v]):
            continue
        if v.gate == "replay":
            yield Reason(
                "replay",
                f"The exported model answers otherwise than what was judged: {percent(v.value, 2)} of "
                f"{v.metric.replace('ids that agree', 'ids agree')}; expected at least {percent(v.floor)}.",
            )
        else:
            said = "fails" if v.status == "fail" else "cannot be told"
            yield Reason(
                "gate",
                f"{v.gate.capitalize()} gate, {v.slice}: {metric_name(v.metric)} {verdict_value(v)} "
                f"[{verdict_bounds(v)}] {said}.",
            )


def _slices(evidence: Evidence) -> Iterator[Reason]:
    for one in evidence.regressions:
        if one.stops:
            yield Reason("slice", f"{one.sentence}.")


def _traffic(evidence: Evidence) -> Iterator[Reason]:
    test = evidence.test
    if test is not None and test.hopeless:
        longest = test.detectable[-1]
        yield Reason(
            "traffic",
            f"Too few queries for a test: with {longest.queries:,} in {longest.weeks} weeks only a change of "
            f"{number(longest.absolute)} would show in {metric_name(test.metric)}, and from {number(longest.rate)} "
            "it cannot rise so far.",
        )

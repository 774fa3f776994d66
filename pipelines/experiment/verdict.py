"""An analysis in words: what may be believed of each arm, why to be careful, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.evaluation.bootstrap import Interval
from pipelines.experiment.analysis import Analysis, Compared
from pipelines.experiment.balance import LIMIT
from pipelines.look.numbers import signed, signed_percent

_FEW = 200  # units of an arm below which no interval is to be trusted
_DIGITS = 4


@dataclass(frozen=True)
class Verdict:
    """sentences: one for each arm that is compared, or why none is; cautions: what may make them wrong."""

    sentences: tuple[str, ...]
    cautions: tuple[str, ...]
    next_step: str


def verdict(found: Analysis) -> Verdict:
    """What to tell the person who asked."""
    if not found.balance.sound:
        return Verdict((_unsound(found),), tuple(_cautions(found)), _FIND_OUT)
    sentences = tuple(_sentence(found, arm) for arm in found.treatments)
    return Verdict(sentences, tuple(_cautions(found)), _next(found))


_FIND_OUT = (
    "Find out where units are lost or doubled (shares changed midway, errors, bots, logs that one arm lacks), mend it, "
    "and start again under another salt; the data of this experiment cannot be repaired."
)


def _unsound(found: Analysis) -> str:
    dealt = found.balance
    counts = ", ".join(f"{arm} {n:,} ({dealt.expected[arm]:,.0f} expected)" for arm, n in dealt.units.items())
    return f"No conclusion: the arms are not as large as they should be: {counts}; p = {dealt.p:.1g}, below {LIMIT:g}."


def _sentence(found: Analysis, arm: str) -> str:
    one, guardrails = found.of(arm)
    interval = one.fixed if found.plan.one_look else one.sequential
    said = f"{arm}: {one.metric} {_change(interval, one.relative)}"
    failed, open_ = _named(guardrails, "fails"), _named(guardrails, "cannot tell")
    if failed:
        return f"{said}; worse than its margin allows: {failed}."
    if one.status == "better":
        return f"{said}: better{f', but it cannot be told yet whether these hold: {open_}' if open_ else ''}."
    if one.status == "worse":
        return f"{said}: worse."
    if found.plan.one_look:
        return f"{said}: no difference was found, which is not to say that there is none."
    if one.fixed.low > 0 or one.fixed.high < 0:
        return f"{said}: cannot tell yet; the fixed interval leaves out 0, which counts only at a look planned for."
    return f"{said}: cannot tell yet."


def _named(guardrails: list[Compared], status: str) -> str:
    return ", ".join(str(one.metric) for one in guardrails if one.status == status)


def _change(interval: Interval, relative: float) -> str:
    low, high = signed(interval.low, _DIGITS), signed(interval.high, _DIGITS)
    return f"{signed(interval.mean, _DIGITS)} ({signed_percent(relative)}) [{low}, {high}]"


def _next(found: Analysis) -> str:
    """One step: stop harm first, then take what won, then wait."""
    arms = {arm: found.of(arm) for arm in found.treatments}
    harmed = [arm for arm, (one, rails) in arms.items() if one.status == "worse" or _named(rails, "fails")]
    if harmed:
        return f"Set the share of {', '.join(harmed)} to 0, and find out what it does worse before it is tried again."
    sure = [arm for arm, (one, rails) in arms.items() if one.status == "better" and not _named(rails, "cannot tell")]
    if sure:
        best = max(sure, key=lambda arm: abs(arms[arm][0].fixed.mean))
        return f"End the experiment and serve everyone as {best} was served."
    if found.plan.one_look:
        return "Stay with the control, or plan a longer test: `twinspire experiment power` says how long."
    return "Go on, and look again when you like: the sequential interval allows for it."


def _cautions(found: Analysis) -> Iterator[str]:
    units = found.balance.units
    few = [arm for arm, count in units.items() if count < _FEW]
    if few:
        yield f"Fewer than {_FEW} units in {', '.join(few)}: intervals may be too narrow."
    if found.several:
        share = found.several / (found.several + sum(units.values()))
        yield f"{found.several:,} units ({share:.1%}) had more than one arm and were left out: shares or salt changed."
    if found.nameless:
        yield f"{found.nameless:,} lists without a query id were left out."
    for arm, (lists, share) in found.not_served.items():
        yield (
            f"{arm}: {lists:,} of its lists ({share:.1%}) were answered by the stable version, as its own was not "
            "served. They count for the arm as it was dealt, so that its effect seems smaller than it is."
        )
    if found.open:
        yield f"{found.open:,} units were left out because their window has not ended yet."
    skewed = dict.fromkeys(str(one.metric) for one in found.compared if not one.normal)
    if skewed:
        yield f"{', '.join(skewed)}: a few units weigh so much that intervals may be wrong; more units mend that."
    if found.plan.one_look and 0 < found.days < 7:
        yield f"{found.days:.1f} days are less than a week: other weekdays may look otherwise."

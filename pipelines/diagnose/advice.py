"""What the numbers argue for, and what to set in the config."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipelines.baselines.windows import window_lengths, windows_of
from pipelines.diagnose import words
from pipelines.diagnose.feedback import SWAMPED, Feedback
from pipelines.diagnose.histories import Histories
from pipelines.diagnose.leaks import Leaks
from pipelines.diagnose.observed import Observed
from pipelines.diagnose.problem import Problem
from pipelines.diagnose.recency import Contest
from pipelines.diagnose.rules import Answer, Design, Holds, answers, design_of, facts_of
from pipelines.diagnose.tastes import Tastes
from pipelines.diagnose.texts import TextWords
from pipelines.look.numbers import percent

UNTAKEN = 0.01  # share of the catalogue that is worth a date
RETURNING = 0.5  # share of the test window's queries with a past, below which histories should roll
REPEATS = 0.1  # share of events from which what was taken belongs into lists
LONG_WINDOW = 90 * 86_400  # test windows beyond this judge by what is taken long after the cut
_DAY = 86_400


@dataclass(frozen=True)
class Setting:
    """What to set in the config, as key and value, or a feature to look at; and why."""

    setting: str
    reason: str


@dataclass(frozen=True)
class Advice:
    """design: what the numbers argue for; reason: the sentence why; answers: all questions, in order."""

    design: Design
    reason: str
    answers: tuple[Answer, ...]
    settings: tuple[Setting, ...]


def advise(
    observed: Observed,
    problem: Problem,
    tastes: Tastes | None,
    histories: Histories,
    contest: Contest | None,
    texts: tuple[TextWords, ...],
    leaks: Leaks,
    feedback: Feedback,
) -> Advice:
    """Answer every question and take the first design that fits."""
    found = answers(facts_of(observed, problem, tastes, histories, contest, texts))
    holds = {name: answer.holds for name, answer in found.items()}
    design, reason = design_of(holds)
    settings = (
        *_features(leaks),
        *_protocol(observed, histories),
        *_repeats(observed, problem),
        *_weights(observed, feedback),
        *_windows(observed, contest, holds),
        *_content(holds),
        *_undated(observed),
    )
    return Advice(design, reason, tuple(found.values()), settings)


def _features(leaks: Leaks) -> Iterator[Setting]:
    for column in leaks.columns:
        if column.suspicion:
            what = f"check it, or remove it before training: {column.suspicion}"
            yield Setting(f"feature {column.name} ({column.table})", what)


def _protocol(observed: Observed, histories: Histories) -> Iterator[Setting]:
    split, test = observed.config.split, histories.test
    if test is None:
        return
    if test.returning < RETURNING and split.history != "rolling":
        yield Setting(
            'split.history = "rolling"',
            f"only {percent(test.returning)} of the test window's queries were there before it; the others can be "
            "judged by what they did within it",
        )
    if observed.clock and test.end - test.start > LONG_WINDOW and split.horizon is None:
        yield Setting(
            'split.horizon = "30d"',
            f"the test window is {words.length(test.end - test.start, True)} long, so that lists are judged by what is "
            "taken long after they would have been replaced",
        )


def _repeats(observed: Observed, problem: Problem) -> Iterator[Setting]:
    repeats = problem.later_repeats if observed.clock else problem.repeats
    if repeats >= REPEATS and observed.config.data.seen_items == "filter":
        later = " a day or more later" if observed.clock else ""
        yield Setting('data.seen_items = "keep"', f"{percent(repeats)} of the events take an item again{later}")


def _weights(observed: Observed, feedback: Feedback) -> Iterator[Setting]:
    if feedback.dearest > SWAMPED:  # false where it is NaN
        what = f"the dearest 1% of targets carry {percent(feedback.dearest)} of the weight: "
        if observed.config.data.events.value is None:
            yield Setting("data.events.weights", f"{what}bring them closer together, or raise train.batch")
        else:
            yield Setting("data.events.value", f"{what}name a column of logarithms instead, or raise train.batch")


def _windows(observed: Observed, contest: Contest | None, holds: Holds) -> Iterator[Setting]:
    """A shorter window of recent popularity, where the shortest one is the best."""
    dataset = observed.dataset
    if dataset is None or contest is None:
        return
    windows = windows_of(dataset)
    length, shortest = min(zip(window_lengths(dataset), windows, strict=True))
    if not holds["recent"] or contest.recent.name != f"last {shortest}" or (observed.clock and length <= _DAY):
        return
    shorter = "1d" if observed.clock else max(length // 4, 1)
    written = ", ".join(f'"{one}"' if isinstance(one, str) else str(one) for one in (shorter, *windows))
    yield Setting(
        f"baselines.windows = [{written}]",
        f"the shortest window of recent popularity, {shortest}, is the best one: a shorter one may be better still, "
        "and is then the baseline to beat",
    )


def _content(holds: Holds) -> Iterator[Setting]:
    if holds["new items"] and not holds["content"]:
        yield Setting("[[features]] of items", "items without a past matter, and ids alone cannot place them")


def _undated(observed: Observed) -> Iterator[Setting]:
    """A date for items that nobody took, where towers could not tell new ones from those that nobody wants."""
    trend = observed.config.trend
    untaken = np.bincount(observed.log.item, minlength=observed.n_items) == 0
    undated = int((untaken & observed.tables.items["available_from"].isna().to_numpy()).sum())
    if trend.enabled and trend.undated == "old" and undated > UNTAKEN * observed.n_items:
        yield Setting(
            "data.items.available_from",
            f"{words.plural(undated, 'item')} of {observed.n_items:,} have no date and no event: new ones among them "
            'look unwanted, and are hardly ever retrieved. Where there are no dates, trend.undated = "new" finds them, '
            "and those that nobody wants compete with the others",
        )

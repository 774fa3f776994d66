"""The rules of the advice: one table of questions with their thresholds, and one of designs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipelines.diagnose import words
from pipelines.diagnose.histories import Histories
from pipelines.diagnose.observed import Observed
from pipelines.diagnose.problem import Problem
from pipelines.diagnose.recency import ALL_TIME, Contest
from pipelines.diagnose.tastes import FEWEST, Tastes
from pipelines.diagnose.texts import TextWords
from pipelines.look.numbers import NONE, percent, signed_percent

Design = Literal["popularity", "content", "collaborative", "hybrid", "two-tower"]
Holds = Mapping[str, bool | None]
"""The answers by name of the rule; None: cannot be told."""

ENOUGH_EVENTS = 2_000  # fewer teach popularity at best
CHOICE = 5  # lists that the catalogue should fill; below, everything can be ranked and nothing need be retrieved
DIFFERENT = 0.55  # share of swapped pairs told right from which differences between queries are worth modelling
NEW_ITEMS, MOSTLY_NEW = 0.05, 0.5  # share of the events on items without a past
NEW_QUERIES = 0.2  # share of the events by queries without a past
LARGE = 20_000  # items from which exact search gives way to an index (ScaNN's own guidance)


@dataclass(frozen=True)
class Answer:
    """One question, its number beside its threshold, whether it holds (None: cannot be told) and what that means."""

    question: str
    value: str
    threshold: str
    holds: bool | None
    means: str


@dataclass(frozen=True)
class Facts:
    """What the questions are asked of; NaN or None where it is not known. Shares are of the events after the
    validation cut."""

    events: int
    choice: float
    items: int
    tastes: Tastes | None
    new_items: float
    new_queries: float
    content: tuple[str, ...]
    context: tuple[str, ...]
    contest: Contest | None


@dataclass(frozen=True)
class Rule:
    """A question that is asked of the facts, and what either answer means."""

    question: str
    value: Callable[[Facts], str]
    threshold: str
    holds: Callable[[Facts], bool | None]
    yes: str
    no: str


RULES = {
    "enough": Rule(
        "Are there enough events to learn from?",
        lambda facts: words.plural(facts.events, "event"),
        f"at least {ENOUGH_EVENTS:,}",
        lambda facts: facts.events >= ENOUGH_EVENTS,
        "models can be fitted",
        "too few to learn more than popularity",
    ),
    "choice": Rule(
        "Is there more than a list can show?",
        lambda facts: f"{facts.choice:,.0f} lists' worth of items",
        f"at least {CHOICE}",
        lambda facts: facts.choice >= CHOICE,
        "choosing matters",
        "a list shows much of the catalogue anyway: order it, there is little to retrieve",
    ),
    "differ": Rule(
        "Do queries differ beyond popularity?",
        lambda facts: _told(facts.tastes),
        f"at least {percent(DIFFERENT, 0)} of swaps told",
        lambda facts: _differ(facts.tastes),
        "lists should differ between queries",
        "one list serves all alike",
    ),
    "new items": Rule(
        "Do items without a past matter?",
        lambda facts: f"{percent(facts.new_items)} of events",
        f"at least {percent(NEW_ITEMS, 0)}",
        lambda facts: _at_least(facts.new_items, NEW_ITEMS),
        "ids alone miss them: content has to carry them",
        "ids can carry the catalogue",
    ),
    "mostly new": Rule(
        "Are most items taken without a past?",
        lambda facts: f"{percent(facts.new_items)} of events",
        f"at least {percent(MOSTLY_NEW, 0)}",
        lambda facts: _at_least(facts.new_items, MOSTLY_NEW),
        "nothing but content is known of what will be taken",
        "pasts of items can be used",
    ),
    "content": Rule(
        "Is anything known of the items?",
        lambda facts: ", ".join(facts.content) or "no feature that items share",
        "a feature that items share",
        lambda facts: bool(facts.content),
        "new items can be placed",
        "new items cannot be placed",
    ),
    "new queries": Rule(
        "Do queries without a past matter?",
        lambda facts: f"{percent(facts.new_queries)} of events",
        f"at least {percent(NEW_QUERIES, 0)}",
        lambda facts: _at_least(facts.new_queries, NEW_QUERIES),
        "a query has to be read from its last few items and its features, not from an id",
        "a factor or row for each query will do",
    ),
    "context": Rule(
        "Is anything known of queries or requests?",
        lambda facts: ", ".join(facts.context) or "no feature",
        "a feature of queries or events",
        lambda facts: bool(facts.context),
        "it can tell newcomers apart",
        "newcomers are all alike at first",
    ),
    "large": Rule(
        "Is the catalogue too large to score whole?",
        lambda facts: words.plural(facts.items, "item"),
        f"at least {LARGE:,}",
        lambda facts: facts.items >= LARGE,
        "retrieval needs vectors and an index",
        "every item can be scored for every request",
    ),
    "recent": Rule(
        "Does recent popularity beat all of it?",
        lambda facts: _gain(facts.contest),
        "surely above 0 (95%)",
        lambda facts: _recent(facts.contest),
        "whatever is built has to know what is popular now",
        "the whole past says as much",
    ),
}

DESIGNS: tuple[tuple[Design, Callable[[Holds], bool], str], ...] = (
    (
        "popularity",
        lambda holds: holds["enough"] is False,
        "There are too few events to learn differences from; show what is popular and collect more.",
    ),
    (
        "popularity",
        lambda holds: holds["choice"] is False,
        "The catalogue hardly exceeds a list, so that there is nothing to retrieve: order all of it, by popularity "
        "first.",
    ),
    (
        "popularity",
        lambda holds: holds["differ"] is False,
        "Queries do not differ beyond what is popular, so that a personal list has nothing to add.",
    ),
    (
        "content",
        lambda holds: holds["mostly new"] is True and holds["content"] is True,
        "Most of what is taken has no past when it is taken: match what items are with what queries took before.",
    ),
    (
        "popularity",
        lambda holds: holds["mostly new"] is True,
        "Most of what is taken has no past, and nothing is known of items: show the newest popular ones, and get "
        "features of items.",
    ),
    (
        "two-tower",
        lambda holds: holds["large"] is True,
        "The catalogue is too large to score item by item, so that queries and items have to meet as vectors in an "
        "index.",
    ),
    (
        "two-tower",
        lambda holds: all(holds[name] is True for name in ("new items", "content", "new queries")),
        "New items and new queries both matter: towers that read items by content and queries by their last items "
        "serve either from the first moment.",
    ),
    (
        "hybrid",
        lambda holds: holds["new items"] is True and holds["content"] is True,
        "Queries and most items have pasts, but new items matter: factors of ids with features of items "
        "beside them, of which a two-tower model is one form.",
    ),
    (
        "collaborative",
        lambda holds: True,
        "Items have pasts and the catalogue can be scored whole: who took what, by neighbours or factors, says most "
        "of what can be known.",
    ),
)


def answers(facts: Facts) -> dict[str, Answer]:
    """Every rule's answer, by its name."""
    found = {}
    for name, rule in RULES.items():
        holds = rule.holds(facts)
        means = "too little to tell" if holds is None else rule.yes if holds else rule.no
        found[name] = Answer(rule.question, rule.value(facts), rule.threshold, holds, means)
    return found


def design_of(holds: Holds) -> tuple[Design, str]:
    """The first design that fits, and why."""
    design, _, reason = next(one for one in DESIGNS if one[1](holds))
    if design == "popularity":
        return design, reason
    if holds["recent"]:
        reason += " Recent popularity is strong, so blend it in, and expect it to be hard to beat."
    if holds["differ"] is None:
        reason += " Whether queries differ could not be told: hold it against popularity before you believe in it."
    return design, reason


def facts_of(
    observed: Observed,
    problem: Problem,
    tastes: Tastes | None,
    histories: Histories,
    contest: Contest | None,
    texts: tuple[TextWords, ...],
) -> Facts:
    """Gather what the rules ask of; shares are over the windows after the validation cut."""
    silent = {text.name for text in texts if not text.connects}
    weights = [window.events for window in histories.windows]

    def mean(name: str) -> float:
        if not weights:
            return math.nan
        return float(np.average([getattr(window, name) for window in histories.windows], weights=weights))

    config = observed.config
    return Facts(
        events=problem.events,
        choice=problem.choice,
        items=problem.items,
        tastes=tastes,
        new_items=mean("cold_items"),
        new_queries=mean("cold_queries"),
        content=tuple(f.name for f in config.on("items") if f.kind != "id" and f.name not in silent),
        context=tuple(f.name for table in ("queries", "events") for f in config.on(table) if f.kind != "id"),
        contest=contest,
    )


def _at_least(value: float, threshold: float) -> bool | None:
    return None if math.isnan(value) else value >= threshold


def _told(tastes: Tastes | None) -> str:
    if tastes is None or tastes.right.n < FEWEST:
        return f"{tastes.right.n if tastes else 0} pairs to ask, {FEWEST} needed"
    right = tastes.right
    return f"{percent(right.mean)} [{percent(right.low)} to {percent(right.high)}]"


def _differ(tastes: Tastes | None) -> bool | None:
    """Whether the interval clears a half and the estimate the threshold; or lies below the threshold; or neither."""
    if tastes is None or tastes.right.n < FEWEST:
        return None
    right = tastes.right
    if right.low > 0.5 and right.mean >= DIFFERENT:
        return True
    return False if right.high < DIFFERENT else None


def _gain(contest: Contest | None) -> str:
    if contest is None or contest.recent.over is None:
        return NONE
    base, over = contest.of(ALL_TIME).measures[contest.metric].mean, contest.recent.over
    if not base:
        return NONE
    return " ".join(
        (signed_percent(over.mean / base), f"[{signed_percent(over.low / base)} to {signed_percent(over.high / base)}]")
    )


def _recent(contest: Contest | None) -> bool | None:
    if contest is None or contest.recent.over is None:
        return None
    over = contest.recent.over
    return True if over.low > 0 else False if over.high < 0 else None

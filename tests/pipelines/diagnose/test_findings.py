"""Every sentence follows from its numbers: planted worlds, and what the words then are."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from pipelines.diagnose import Observed, diagnose
from pipelines.diagnose.findings import Finding, sections
from pipelines.diagnose.words import length, plural
from pipelines.evaluation.bootstrap import Interval
from pipelines.look.numbers import NONE
from pipelines.prepare import Account
from tests.pipelines.diagnose.test_feedback import dear
from tests.pipelines.diagnose.test_popularity import shifting
from tests.pipelines.diagnose.worlds import DAY, START, blocks, observed, plain


def said(of: Observed) -> dict[str, list[Finding]]:
    return {section.key: list(section.findings) for section in sections(diagnose(of))}


def line(of: Observed | dict, section: str, pattern: str) -> Finding:
    found = of if isinstance(of, dict) else said(of)
    (only,) = [one for one in found[section] if re.search(pattern, one.text)]
    return only


@pytest.fixture(scope="module")
def even() -> dict[str, list[Finding]]:
    return said(plain(events=60_000, queries=6_000, items=300))


def test_no_differences_between_queries_are_said(even) -> None:
    found = line(even, "problem", "two queries")
    assert found.level == "warning"
    assert found.text.endswith("no difference between queries worth modelling shows.")


def test_differences_are_said_with_their_interval() -> None:
    found = line(blocks(), "problem", "two queries")
    assert found.level == "good"
    assert re.search(r"whose in \d+\.\d% \[\d+\.\d% to \d+\.\d%\] of \d+ pairs; 50% if", found.text)


def test_recency_is_said_where_it_is(even) -> None:
    found = line(shifting(10), "popularity", "NDCG@5")
    assert re.match(r"Recent popularity is strong: the last 7d beat all time. NDCG@5 0\.\d+ against 0\.\d+", found.text)
    assert re.search(r"that is \+\d+%; recall@20 0\.\d+ against 0\.\d+\.$", found.text)
    assert "strong" not in line(even, "popularity", "NDCG@5").text


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.001, 0.02, "^Recent popularity is strong"),
        (-0.001, 0.02, "^Too close"),
        (-0.02, -0.01, "^Recent .* is weaker"),
    ],
)
def test_recency_is_said_only_beyond_doubt(low: float, high: float, words: str) -> None:
    found = diagnose(shifting(10, events=4_000))
    contest = found.contest
    assert contest is not None
    over = Interval((low + high) / 2, low, high, 100)
    moved = [replace(one, over=over) if one.kind == "window" else one for one in contest.contenders]
    (text,) = [
        one.text
        for section in sections(replace(found, contest=replace(contest, contenders=tuple(moved))))
        for one in section.findings
        if "NDCG@5" in one.text
    ]
    assert re.search(words, text)


def test_drift_is_said_where_it_is(even) -> None:
    assert re.search("falls to one half after [0-9.]+ days", line(shifting(3), "popularity", "alike").text)
    assert "does not fall to one half" in line(even, "popularity", "alike").text


def test_nothing_alarms_where_nothing_is_planted(even) -> None:
    warnings = [one.text for section in even.values() for one in section if one.level == "warning"]
    assert [text[:17] for text in warnings] == ["Given two queries"]


def test_a_small_catalogue_is_said() -> None:
    assert line(plain(items=12), "problem", "for a list of 5").level == "warning"
    assert line(plain(items=300), "problem", "for a list of 5").level == "good"


def test_repeats_by_kind() -> None:
    kinds = ["view", "view", "buy"] * 200
    log = ([0] * 600, [0] * 600, START + np.arange(600) * DAY)
    found = line(observed(*log, kinds=kinds), "problem", "take an item")
    assert "99.7% of the events" in found.text
    assert "(buy 99.5%, view 99.8%)" in found.text


def test_ratings_are_explicit() -> None:
    rng = np.random.default_rng(0)
    log = (rng.integers(0, 20, 500), rng.integers(0, 30, 500), range(500))
    assert line(observed(*log, clock=False, ratings=rng.integers(1, 6, 500)), "feedback", "^Explicit: 100.0%")
    assert line(observed(*log, clock=False), "feedback", "^Implicit")


def test_weight_on_few_targets_warns() -> None:
    assert line(dear(100), "feedback", r"the dearest 1% carry 42\.4% of all weight").level == "warning"
    assert line(dear(10), "feedback", r"the dearest 1% carry 8\.1% of all weight\.$").level == "note"
    assert not any("dearest" in one.text for one in said(dear(1))["feedback"])
    kinds = np.where(np.arange(1_000) < 10, "buy", "view")
    assert "; by kind: view 47.1%, buy 52.9%. A step" in line(dear(100, kinds=kinds), "feedback", "dearest").text


def test_an_order_says_nothing_of_days() -> None:
    rng = np.random.default_rng(0)
    found = said(observed(rng.integers(0, 50, 3_000), rng.integers(0, 90, 3_000), range(3_000), clock=False))
    text = " ".join(one.text for section in found.values() for one in section)
    assert "An order without a clock" in text
    assert not re.search(r"\b(days?|hours?|UTC|seconds?)\b", text.replace("what takes days or hours", ""))


def test_holes_batches_and_coarse_clocks_warn() -> None:
    rng = np.random.default_rng(0)
    day = rng.integers(0, 60, 6_000)
    day = day[day != 30]
    log = (rng.integers(0, 50, len(day)), rng.integers(0, 90, len(day)), START + day * DAY)
    found = said(observed(*log))
    assert line(found, "timing", "is a part of the log missing").level == "warning"
    assert line(found, "timing", "Times are whole days").level == "warning"
    assert line(found, "timing", "written in batches").level == "warning"


def test_rows_that_the_config_drops_do_not_alarm() -> None:
    base = plain()
    accounts = {
        "events": Account(100, 50, {"item has fewer than 5 events": 50}),
        "items": Account(100, 90, {"no item id": 10}),
        "queries": Account(7, 7),
    }
    found = said(Observed.of(base.config, base.tables, accounts))
    assert line(found, "timing", "rows of events").level == "note"
    assert line(found, "timing", r"10 of 100 rows of items \(10.0%\) .*no item id: 10").level == "warning"
    assert line(found, "timing", "All 7 rows of queries").level == "good"


def test_what_is_too_small_says_so() -> None:
    found = said(observed([0, 0, 1], [0, 1, 1], [START, START, START]))
    levels = {one.level for one in found["problem"]}
    assert "unknown" in levels
    assert "window" in line(found, "problem", "could not be told").text
    assert all(found.values())


@pytest.mark.parametrize(
    ("amount", "clock", "text"),
    [(86_400, True, "1 day"), (129_600, True, "1.5 days"), (90, True, "1.5 minutes"), (0, True, "0 seconds"),
     (20 * 86_400, True, "20 days"), (1_234, False, "1,234 order steps"), (float("nan"), True, NONE)],
)  # fmt: skip
def test_lengths_in_words(amount: float, clock: bool, text: str) -> None:
    assert length(amount, clock) == text


def test_plurals() -> None:
    assert [plural(1, "query"), plural(2, "query"), plural(2_000, "day")] == ["1 query", "2 queries", "2,000 days"]

"""What the decision says of hand-made results: it can say no, and says why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipelines.evaluation.bootstrap import Interval
from pipelines.evaluation.compared import Against
from pipelines.evaluation.results import Results
from pipelines.evaluation.scoreboard import scoreboard
from pipelines.evaluation.sliced import SliceResults
from pipelines.report.decision import Decision, decide
from pipelines.report.evidence import Evidence
from pipelines.report.experiment import Detectable, Experiment
from pipelines.report.parts import Training
from pipelines.report.regressions import Regression, of_gates, of_slices, too_few
from pipelines.report.standings import standings
from pipelines.report.summary import STAGES
from pipelines.report.variety import Change
from pipelines.verdicts import Verdict, passed
from tests.pipelines.report.evaluated import MIN_USERS, slice_result
from tests.pipelines.report.runs import ITEMS, LIST_K, K, gate_verdicts, make_config

REQUESTS = 200
LEVEL = Interval(0.0, -0.01, 0.01, REQUESTS)


def _result(ndcg: float, noise: float = 0.0) -> Results:
    """NDCG of that mean; with noise, every other request is above it and the others below."""
    values = ndcg + noise * np.where(np.arange(REQUESTS) % 2, 1.0, -1.0)
    metrics = {f"ndcg@{LIST_K}": values, f"recall@{K}": np.full(REQUESTS, ndcg)}
    return Results(np.tile(np.arange(K, dtype=np.int32), (REQUESTS, 1)), metrics)


BASELINES = {
    "popularity": _result(0.2),
    "popularity 7d": _result(0.3),
    "popularity 7d by region": _result(0.35),
    "item-kNN": _result(0.25),
}


@pytest.fixture
def evidence(tmp_path):
    """A run that wins everything, with whatever is given changed."""

    def make(final: float = 0.5, baselines: Mapping[str, Results] | None = None, **changed: Any) -> Evidence:
        config = changed.pop("config", make_config(tmp_path))
        ours = {"towers": _result(0.45), "final list": _result(final)}
        board = standings(config, scoreboard({**BASELINES, **(baselines or {})}, ours, LIST_K, np.ones(ITEMS, bool)))
        verdicts = (_verdict(), _verdict(gate="list"), _replay(1.0))
        detectable = (Detectable(1, 4000, 0.3, 0.04, 0.13), Detectable(4, 9000, 0.4, 0.03, 0.07))
        test = Experiment(
            f"hit_rate@{LIST_K}",
            0.4,
            "popularity 7d by region",
            0.3,
            Interval(0.1, 0.05, 0.15, REQUESTS),
            detectable,
            30,
            None,
        )
        found = Evidence(config, "runs/made", (), board, verdicts, (), (), (), test, None, None)
        return replace(found, **changed)

    return make


def _verdict(
    gate: str = "candidates", slice: str = "all", value: float = 0.3, status: str = "pass", **changed: Any
) -> Verdict:
    found = Verdict(
        gate, f"recall@{K} lift over popularity 7d", slice, value, value - 0.1, value + 0.1, -0.1, 90, status
    )
    return replace(found, **changed)


def _replay(share: float) -> Verdict:
    status = "pass" if share >= 0.995 else "fail"
    return Verdict("replay", "ids that agree in Python", "all", share, share, share, 0.995, 512, status)


def _kinds(decision: Decision) -> list[str]:
    return [reason.kind for reason in decision.reasons]


def test_a_model_that_beats_every_baseline_and_passes_everything_is_ready(evidence) -> None:
    decision = decide(evidence())
    assert (decision.verdict, decision.reasons) == ("ready for an A/B test", ())
    assert "The final list beats popularity 7d by region on NDCG@2: 0.500 against 0.350, +0.150" in decision.headline
    assert decision.gates == "All gates passed (3 checks)."
    assert decision.next_steps[0].startswith("`twinspire publish runs/made`")
    assert "worth having" in decision.next_steps[1]
    assert "expected to rise" in decision.online_metric
    assert "proves nothing" in decision.caveat


def test_beating_global_popularity_is_not_enough_where_segment_popularity_is_better(evidence) -> None:
    decision = decide(evidence(final=0.32))
    assert decision.verdict == "not ready"
    (reason,) = decision.reasons
    assert reason.kind == "baseline"
    assert reason.text.startswith("It loses to popularity 7d by region: NDCG@2 -0.030 [")
    assert "Beating popularity of all time is not enough" in reason.text
    assert "popularity 7d by region" in decision.next_steps[0]
    assert "`twinspire publish --policy popularity runs/made`" in decision.next_steps[-1]


def test_a_list_that_loses_to_a_knn_is_not_ready(evidence) -> None:
    decision = decide(evidence(baselines={"item-kNN": _result(0.6)}))
    assert (decision.verdict, _kinds(decision)) == ("not ready", ["baseline"])
    assert "loses to item-kNN" in decision.headline
    assert "which twinspire measures but does not publish" in decision.next_steps[0]


def test_popularity_alone_is_no_comparison(evidence, monkeypatch) -> None:
    monkeypatch.delitem(BASELINES, "item-kNN")
    decision = decide(evidence())
    assert (decision.verdict, _kinds(decision)) == ("not ready", ["alone"])
    assert "`twinspire publish --policy popularity runs/made`" in decision.next_steps[-1]
    assert "switch on what [baselines] leaves out" in decision.next_steps[0]


def test_one_request_is_worded_as_one(evidence) -> None:
    found = evidence()
    decision = decide(replace(found, board=replace(found.board, requests=1)))
    assert decision.reasons[0].text.startswith("Only 1 request could be judged")


def test_a_weaker_mean_that_is_not_surely_beaten_counts_too(evidence) -> None:
    decision = decide(evidence(baselines={"EASE": _result(0.34, noise=5.0)}))
    assert "beats popularity 7d by region" in decision.headline
    assert (decision.verdict, _kinds(decision)) == ("not ready", ["baseline"])
    assert decision.reasons[0].text.startswith("It does not surely beat EASE: NDCG@2 +0.160 [")


def test_a_sure_regression_beyond_the_floor_is_a_no_within_it_a_guardrail(evidence) -> None:
    worse = Regression(
        "history 1-9",
        "final list",
        f"ndcg@{LIST_K}",
        "popularity 7d by region",
        "-0.07 [-0.1, -0.05],",
        -0.2,
        80,
        True,
    )
    decision = decide(evidence(regressions=(worse,)))
    assert (decision.verdict, _kinds(decision)) == ("not ready", ["slice"])
    assert decision.reasons[0].text == (
        "history 1-9: NDCG@2 of the final list -0.07 [-0.1, -0.05], against popularity 7d by region, n=80."
    )
    assert any("tell these apart: history 1-9" in step for step in decision.next_steps)

    decision = decide(evidence(regressions=(replace(worse, stops=False),)))
    assert (decision.verdict, decision.reasons) == ("ready for an A/B test", ())
    assert "Surely worse in slices that do not stand in the way: history 1-9." in " ".join(decision.bad)
    assert any("history 1-9" in rail for rail in decision.guardrails)


def test_a_slice_worse_than_popularity_alone_stands_in_the_way_and_names_it() -> None:
    level = slice_result("requests", "history", "history 1-9", "final list", "ndcg@2", 0.01, -0.01, 0.03, 80)
    assert of_slices(SliceResults("asked", 30, (level,)), -0.05) == []
    worse = Against("popularity 7d", 0.2, Interval(-0.09, -0.1, -0.08, 80), "worse")
    (found,) = of_slices(SliceResults("asked", 30, (replace(level, popularity=worse),)), -0.05)
    assert (found.rival, found.stops) == ("popularity 7d", True)
    assert found.sentence.endswith("-0.090 [-0.100, -0.080], -45.0%, against popularity 7d, n=80")


def test_a_failed_gate_stands_in_the_way_of_a_better_list(evidence) -> None:
    exact = Verdict("candidates", "searcher recall against exact", "all", 0.9, 0.89, 0.91, 0.95, 90, "fail")
    decision = decide(evidence(verdicts=(exact, _verdict(slice="head", value=-0.3, status="fail"), _replay(1.0))))
    assert (decision.verdict, _kinds(decision)) == ("not ready", ["gate", "gate"])
    assert decision.gates.startswith("2 of 3 checks")
    assert any("index.target_recall" in step for step in decision.next_steps)
    assert any("tell these apart: head" in step for step in decision.next_steps)


def test_a_replay_that_disagrees_is_a_no(evidence) -> None:
    decision = decide(evidence(verdicts=(_verdict(), _replay(0.971))))
    assert (decision.verdict, _kinds(decision)) == ("not ready", ["replay"])
    assert "97.10% of ids agree in Python; expected at least 99.5%" in decision.reasons[0].text
    assert decision.next_steps[0].startswith("Export:")


def test_towers_that_were_still_improving_are_to_go_on_before_anything_else(evidence) -> None:
    failed = (_verdict(value=-0.3, status="fail"), _replay(1.0))
    settled = decide(evidence(verdicts=failed, training=Training(6, 0.4, 8, 8)))
    assert settled.next_steps[0].startswith("Retrieval: compare train.target and trend.windows")
    improving = decide(evidence(verdicts=failed, training=Training(8, 0.4, 8, 8)))
    said = "Towers: raise train.max_epochs; they were still improving when its 8 ended."
    assert improving.next_steps == (said, *settled.next_steps[1:])


def test_too_few_users_are_a_no(evidence, tmp_path) -> None:
    many = {"floors": {"min_users": REQUESTS + 1}, "k": K, "list_k": LIST_K}
    decision = decide(evidence(config=make_config(tmp_path, gate=many)))
    assert (decision.verdict, _kinds(decision)) == ("not ready", ["few"])
    assert "Only 200 requests could be judged; expected at least 201" in decision.reasons[0].text


def test_a_test_that_could_detect_nothing_is_a_no(evidence) -> None:
    few = evidence().test
    hopeless = replace(few, detectable=(Detectable(1, 6, 0.4, 1.6, 4.0), Detectable(4, 20, 0.4, 0.87, 2.2)))
    decision = decide(evidence(test=hopeless))
    assert (decision.verdict, _kinds(decision)) == ("not ready", ["traffic"])
    assert "with 20 in 4 weeks" in decision.reasons[0].text


@pytest.mark.parametrize("protocol", ["leave_last_out", "random"])
def test_a_split_that_leaks_decides_nothing(evidence, tmp_path, protocol) -> None:
    decision = decide(evidence(config=make_config(tmp_path, split={"protocol": protocol})))
    assert (decision.verdict, _kinds(decision)) == ("not ready", ["protocol"])
    assert decision.next_steps == (
        'Run again with split.protocol = "global_time"; nothing can be decided on this split.',
    )


@pytest.mark.parametrize("missing", ["gate", "rank", "evaluate", "export"])
def test_missing_stages_leave_it_open_unless_something_speaks_against(evidence, missing) -> None:
    decision = decide(evidence(missing=(missing,)))
    assert decision.verdict == "cannot tell yet"
    assert decision.next_steps == ("Run the remaining stages: `twinspire run runs/made`.",)
    assert f"Not finished: {missing} has not run yet." in decision.headline
    assert decide(evidence(missing=(missing,), final=0.1)).verdict == "not ready"


def test_nothing_measured_is_nothing_decided(evidence) -> None:
    nothing = replace(evidence(), board=None, verdicts=(), test=None, missing=STAGES)
    decision = decide(nothing)
    assert (decision.verdict, decision.comparisons, decision.online_metric) == ("cannot tell yet", (), None)
    assert decision.headline.startswith("Nothing to decide yet")


def test_the_size_of_a_win_changes_nothing_of_what_a_test_could_detect(evidence) -> None:
    small, large = decide(evidence(final=0.351)), decide(evidence(final=0.9))
    assert small.verdict == large.verdict == "ready for an A/B test"
    assert small.next_steps == large.next_steps


def test_lists_that_become_narrower_are_named_and_guarded(evidence) -> None:
    lost = Change("category_diversity", "popularity 7d by region", 0.4, 0.6, Interval(-0.2, -0.25, -0.15, REQUESTS))
    kept = Change("novelty", "popularity 7d by region", 7.0, 6.0, Interval(1.0, 0.8, 1.2, REQUESTS))
    shown = Change("coverage", "popularity 7d by region", 0.1, 0.2, None)
    even = Change("age", "popularity 7d by region", 30.0, 30.1, Interval(-0.1, -0.4, 0.2, REQUESTS))
    assert [change.narrower for change in (lost, kept, shown, even)] == [True, False, True, False]
    decision = decide(evidence(changes=(lost, kept, shown, even)))
    assert decision.verdict == "ready for an A/B test"
    rival = "Against popularity 7d by region lists"
    assert f"{rival} lose: category diversity 0.60 to 0.40, catalogue coverage 0.20 to 0.10." in decision.bad
    assert f"{rival} gain: novelty (bits) 6.00 to 7.00." in decision.good
    assert "What lists lost offline: category diversity." in decision.guardrails
    assert any(
        rail.startswith("Catalogue coverage: no worse") and "worse offline already" in rail
        for rail in decision.guardrails
    )


def test_groups_of_people_beyond_the_floor_stop_a_model_and_slices_of_items_never_do() -> None:
    metric = f"ndcg@{LIST_K}"
    rows = (
        slice_result("requests", "history", "people", "final list", metric, -0.03, -0.04, -0.02, 80),
        slice_result("requests", "history", "mild", "final list", metric, -0.01, -0.015, -0.005, 80),
        slice_result("targets", "age", "items", "final list", metric, -0.05, -0.06, -0.04, 80),
        slice_result("requests", "history", "candidates", "towers", metric, -0.05, -0.06, -0.04, 80),
        slice_result("requests", "history", "small", "final list", metric, -0.05, -0.06, -0.04, 8),
        slice_result("newcomers", "newcomers", "newcomers", "final list", metric, -0.05, -0.06, -0.04, 80),
        slice_result("requests", "history", "level", "final list", metric, -0.05, -0.06, 0.01, 80),
    )
    results = SliceResults("asked", MIN_USERS, rows)
    found = {one.slice: one for one in of_slices(results, floor=-0.1)}
    assert list(found) == ["newcomers", "people", "mild", "items", "candidates"]
    assert {name for name, one in found.items() if one.stops} == {"people", "newcomers"}
    # item-kNN stands at 0.1 everywhere: 0.03 less is 30 % less.
    assert found["people"].relative == pytest.approx(-0.3)
    assert found["people"].change == "-0.030 [-0.040, -0.020], -30.0%,"


def test_gates_tell_regressions_from_slices_too_small_to_tell() -> None:
    verdicts = gate_verdicts(90)
    small = Verdict("candidates", verdicts[0].metric, "tiny", -0.5, -0.9, -0.1, -0.1, 5, "cannot tell")
    assert [one.slice for one in of_gates([*verdicts, small])] == ["history 1-9"]
    assert list(too_few([*verdicts, small]))[-1] == "tiny (n=5)"
    assert passed([small])

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from configs.errors import UserError
from pipelines.experiment.analysis import Analysis, Plan, analyse
from pipelines.experiment.logs import Log, Outcomes, Units
from pipelines.experiment.metrics import Guardrail, Metric, guardrail, metric
from pipelines.experiment.verdict import verdict


def log(events: dict[str, tuple[float, int]], seconds: dict[str, float] | None = None, seed: int = 0) -> Log:
    """Poisson events of a mean by so many units an arm; every unit was shown two lists."""
    rng = np.random.default_rng(seed)
    arm = np.repeat(list(events), [n for _, n in events.values()]).astype(object)
    mean = np.array([events[name][0] for name in arm])
    time = np.array([(seconds or {}).get(name, 0.1) for name in arm]) * rng.uniform(0.9, 1.1, len(arm))
    nothing = np.zeros(len(arm))
    units = Units(arm, nothing.astype(int), nothing + 2, 2 * time, nothing, nothing, 0, 0)
    did = rng.poisson(mean).astype(float)
    return Log(
        "x", units, {None: Outcomes(did, did, did, rng.poisson(1, len(arm)).astype(float), nothing)}, 14.0, 14.0, 0
    )


PLAN = Plan((metric("events"),), (guardrail("seconds=10%"), guardrail("fallback=0.01")))


def _judged(found: Analysis) -> dict[str, str]:
    return {str(one.metric): one.status for one in found.compared}


def test_a_treatment_that_wins_is_taken():
    found = analyse(log({"control": (1.0, 3000), "treatment": (1.3, 3000)}), PLAN)
    assert _judged(found) == {"events": "better", "seconds": "holds", "fallback": "holds"}
    said = verdict(found)
    assert said.sentences[0].startswith("treatment: events +0.")
    assert said.sentences[0].endswith("better.")
    assert said.next_step == "End the experiment and serve everyone as treatment was served."
    assert said.cautions == ()


def test_a_treatment_that_loses_is_stopped():
    found = analyse(log({"control": (1.3, 3000), "treatment": (1.0, 3000)}), PLAN)
    assert _judged(found)["events"] == "worse"
    assert verdict(found).next_step.startswith("Set the share of treatment to 0")


def test_a_guardrail_that_fails_outweighs_a_win():
    worlds = {"control": (1.0, 3000), "treatment": (1.3, 3000)}
    found = analyse(log(worlds, {"treatment": 0.13}), PLAN)
    assert _judged(found) == {"events": "better", "seconds": "fails", "fallback": "holds"}
    assert "worse than its margin allows: seconds." in verdict(found).sentences[0]
    assert verdict(found).next_step.startswith("Set the share of treatment to 0")


def test_a_guardrail_that_cannot_be_told_yet_holds_a_win_back():
    plan = replace(PLAN, guardrails=(guardrail("events_per_list=0.0001"), Guardrail(metric("seconds"), 1e-5, False)))
    found = analyse(log({"control": (1.0, 3000), "treatment": (1.3, 3000)}), plan)
    assert _judged(found) == {"events": "better", "events_per_list": "holds", "seconds": "cannot tell"}
    assert "cannot be told yet whether these hold: seconds" in verdict(found).sentences[0]
    assert verdict(found).next_step.startswith("Go on")


def test_a_guardrail_that_is_worse_about_as_much_as_it_may_be_cannot_be_told():
    plan = replace(PLAN, guardrails=(guardrail("seconds=1%"),))
    found = analyse(log({"control": (1.0, 3000), "treatment": (1.3, 3000)}, {"treatment": 0.101}), plan)
    assert 0 < found.compared[1].sequential.low < found.compared[1].margin < found.compared[1].sequential.high
    assert _judged(found)["seconds"] == "cannot tell"


def test_what_the_fixed_interval_alone_finds_counts_at_the_planned_look_only():
    drawn = log({"control": (1.0, 3000), "treatment": (1.07, 3000)})
    peeked, planned = analyse(drawn, PLAN), analyse(drawn, replace(PLAN, one_look=True))
    events = peeked.of("treatment")[0]
    assert events.sequential.low < 0 < events.fixed.low  # else this test tests nothing
    assert "which counts only at a look planned for" in verdict(peeked).sentences[0]
    assert verdict(peeked).next_step.startswith("Go on")
    assert verdict(planned).sentences[0].endswith("better.")


def test_no_difference_at_the_planned_look():
    found = analyse(log({"control": (1.0, 300), "treatment": (1.0, 300)}), replace(PLAN, one_look=True))
    assert "no difference was found, which is not to say that there is none" in verdict(found).sentences[0]
    assert verdict(found).next_step.startswith("Stay with the control")


def test_uneven_arms_are_not_compared():
    found = analyse(log({"control": (1.0, 3000), "treatment": (1.3, 2600)}), PLAN)
    assert found.compared == ()
    said = verdict(found)
    assert (
        "No conclusion: the arms are not as large as they should be: control 3,000 (2,800 expected)"
        in said.sentences[0]
    )
    assert said.next_step.startswith("Find out where units are lost")
    fair = analyse(
        log({"control": (1.0, 3000), "treatment": (1.3, 1000)}),
        replace(PLAN, shares={"control": 0.3, "treatment": 0.1}),
    )
    assert fair.balance.sound


def test_several_arms_share_the_risk_and_the_best_is_taken():
    found = analyse(log({"a": (1.3, 3000), "b": (1.5, 3000), "control": (1.0, 3000)}), PLAN)
    assert found.level == pytest.approx(0.975)
    assert found.treatments == ["a", "b"]
    assert verdict(found).next_step == "End the experiment and serve everyone as b was served."


def test_a_metric_that_should_fall_is_better_when_it_falls():
    plan = Plan((metric("seconds"),))
    found = analyse(log({"control": (1, 500), "treatment": (1, 500)}, {"treatment": 0.05}), plan)
    assert _judged(found) == {"seconds": "better"}
    assert found.compared[0].relative == pytest.approx(-0.5, abs=0.01)


def test_what_is_to_be_careful_of():
    drawn = log({"control": (1.0, 100), "treatment": (1.0, 100)})
    drawn = replace(drawn, units=replace(drawn.units, several=20, nameless=3), open=4, days=3.0)
    heavy = np.random.default_rng(0).lognormal(0, 3, 200)
    heavy[100:] = 0
    drawn.outcomes[None] = replace(drawn.outcomes[None], value=heavy)
    said = verdict(analyse(drawn, Plan((metric("value"),), one_look=True))).cautions
    assert [caution.split()[0] for caution in said] == ["Fewer", "20", "3", "4", "value:", "3.0"]
    assert "20 units (9.1%) had more than one arm" in said[1]


def test_lists_of_an_arm_that_was_not_served_are_told_and_count_for_it():
    drawn = log({"control": (1.0, 100), "treatment": (1.0, 100)})
    missed = np.where(np.arange(200) >= 150, 1.0, 0.0)  # of two lists each, for half of the treated
    found = analyse(replace(drawn, units=replace(drawn.units, not_served=missed)), PLAN)
    assert found.not_served == {"treatment": (50, 0.25)}
    assert found.balance.units == {"control": 100, "treatment": 100}
    assert "treatment: 50 of its lists (25.0%) were answered by the stable version" in verdict(found).cautions[-1]


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (replace(PLAN, control="old"), "--control: found 'old', expected one of the arms: control, treatment"),
        (
            replace(PLAN, shares={"control": 1.0}),
            "arm 'treatment': found in the log, expected those with a share: control",
        ),
        (replace(PLAN, shares={"control": 0.4, "treatment": 0.4, "new": 0.2}), "arm 'new': found 0 exposed units"),
        (replace(PLAN, metrics=(metric("events:purchase"),)), "metric events:purchase: found no events"),
    ],
)
def test_what_cannot_be_analysed_is_refused(plan, said):
    with pytest.raises(UserError, match=said):
        analyse(log({"control": (1.0, 30), "treatment": (1.0, 30)}), plan)


def test_one_arm_alone_is_refused():
    with pytest.raises(UserError, match="found the arm 'control' alone, expected two or more"):
        analyse(log({"control": (1.0, 30)}), PLAN)


def test_metrics_and_guardrails_as_they_are_written():
    assert metric("events:purchase") == Metric("events", "purchase")
    assert guardrail("seconds=10%") == Guardrail(Metric("seconds"), 0.1, True)
    assert guardrail("conversion:buy=0.02") == Guardrail(Metric("conversion", "buy"), 0.02, False)
    assert [str(guardrail(text)) for text in ("seconds=10%", "fallback=0.01")] == ["seconds=10%", "fallback=0.01"]
    for text in ("clicks", "seconds:view", "events:"):
        with pytest.raises(UserError, match=f"--metric: found '{text}', expected"):
            metric(text)
    for text in ("seconds", "seconds=", "seconds=0", "seconds=-1%", "seconds=nan", "clicks=1%"):
        with pytest.raises(UserError, match=f"--guardrail: found '{text.split('=')[0]}"):
            guardrail(text)

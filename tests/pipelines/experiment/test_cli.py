"""`twinspire experiment` on files, as a person calls it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from configs.errors import UserError
from pipelines.experiment.estimate import compare
from tests.bench.ab_world import Drawn, draw
from tests.pipelines.experiment.logged import DAY, call, did, shown, write
from tests.runs import twinspire


def logs(folder: Path, drawn: Drawn) -> Path:
    """The files that a server would have written of a test: one list an hour, and what was taken in the same hour."""
    arms = np.where(drawn.treated, "treatment", "control")
    exposures, events = [], []
    for unit, arm in enumerate(arms):
        name = f"u{unit}"
        asked = np.diff(drawn.lists[unit], prepend=0)
        for day in np.flatnonzero(asked):
            exposures += [shown(name, int(day) * DAY + 3600 * hour, arm) for hour in range(asked[day])]
        for day, count in enumerate(np.diff(drawn.events[unit], prepend=0)):
            events += [did(name, day * DAY + 3600 * place + 60, value=2.0) for place in range(count)]
        events += [did(name, -60 * (1 + number)) for number in range(drawn.before[unit])]
    return write(folder, exposures, events)


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    return draw(np.random.default_rng(0), 600, dose=1.0, looks=14, days=14)


@pytest.fixture(scope="module")
def served(drawn: Drawn, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return logs(tmp_path_factory.mktemp("logs"), drawn)


def test_files_tell_what_the_test_that_they_are_of_tells(drawn: Drawn, served: Path) -> None:
    metrics = ("events", "conversion", "events_per_list")
    asked = [part for name in metrics for part in ("--metric", name)]
    found = json.loads(call("analyze", served, *asked, "--planned", "500", "--before", "30d", "--json").output)
    for name, one in zip(metrics, found["compared"], strict=False):
        estimate = compare(*drawn.samples(name))
        assert one["metric"] == name
        assert (one["control"], one["treatment"]) == pytest.approx((estimate.control, estimate.treatment))
        fixed, sequential = estimate.fixed(0.95), estimate.sequential(0.95, 500)
        assert one["fixed"] == pytest.approx([fixed.low, fixed.high])
        assert one["sequential"] == pytest.approx([sequential.low, sequential.high])
        assert one["variance_kept"] == pytest.approx(estimate.kept)
    units = {"control": len(drawn.samples("events")[0]), "treatment": len(drawn.samples("events")[1])}
    assert found["balance"]["units"] == units
    assert found["compared"][0]["status"] == "better"
    assert found["compared"][-1]["status"] == "holds"  # no list was a fallback


def test_what_a_person_reads(served: Path) -> None:
    done = call("analyze", served, "--metric", "events", "--planned", "500")
    lines = done.output.splitlines()
    assert lines[0].startswith("x, 13.")
    assert lines[1].startswith("units: control ")
    assert any(line.startswith("seconds (at most 0.0010 worse)") and line.rstrip().endswith("holds") for line in lines)
    assert lines[-1] == "next:         End the experiment and serve everyone as treatment was served."
    assert max(map(len, lines)) <= 140


def test_uneven_arms_exit_with_3(tmp_path: Path) -> None:
    rows = [shown(f"u{unit}", unit, "control" if unit % 3 else "treatment") for unit in range(300)]
    done = call("analyze", write(tmp_path, rows), "--metric", "seconds", "--guardrail", "fallback=1%")
    assert done.exit_code == 3
    assert "No conclusion: the arms are not as large as they should be" in " ".join(done.output.split())
    assert json.loads(call("analyze", tmp_path, "--metric", "seconds", "--json").output)["compared"] == []


def test_the_servers_file_says_how_large_arms_should_be(tmp_path: Path) -> None:
    rows = [shown(f"u{unit}", unit, "control" if unit % 3 else "treatment") for unit in range(300)]
    (tmp_path / "serve.toml").write_text(
        '[[experiments]]\nname = "x"\narms = { control = 0.2, treatment = { share = 0.1, policy = "popularity" } }\n'
    )
    asked = ("analyze", write(tmp_path, rows), "--metric", "seconds", "--server", tmp_path / "serve.toml")
    assert call(*asked).exit_code == 0
    (tmp_path / "serve.toml").write_text('[[experiments]]\nname = "x"\narms = { control = 0.9, treatment = 0.2 }\n')
    with pytest.raises(UserError, match=r"experiments\.0.*arms: the shares add up to 1\.1, expected at most 1"):
        call(*asked)
    (tmp_path / "serve.toml").write_text("port = 80\n")
    with pytest.raises(UserError, match="has no experiment 'x'; found none"):
        call(*asked)


def test_power_from_given_figures() -> None:
    done = call("power", "--mean", "0.3", "--weekly", "2000", "--effect", "10%")
    # 2.80159 x sqrt(2 x .21 / 1000) = .0574, .1914 of .3
    assert " ".join(done.output.splitlines()[1].split()).startswith("1 week 2,000 0.3000 +0.0574 +19.1%")
    # 2 x .21 x (2.80159 / .03)^2 = 3663 an arm, of 1,000 a week
    assert "a difference of 0.03 takes 3,663 units in each arm at one look (3.7 weeks)" in done.output
    found = json.loads(call("power", "--mean", "5", "--variance", "9", "--weekly", "100", "--json").output)
    assert [one["units"] for one in found["tests"]] == [100, 200, 400]
    assert found["needed"] is None


def test_power_measured_from_logs(drawn: Drawn, served: Path) -> None:
    found = json.loads(call("power", served, "--metric", "events", "--json").output)["tests"]
    assert [one["weeks"] for one in found] == [1, 2]
    two = found[1]
    control, treatment = drawn.samples("events")
    everyone = np.concatenate([control.numerator, treatment.numerator])
    assert two["units"] == len(everyone)
    assert two["level"] == pytest.approx(everyone.mean())
    assert two["variance"] == pytest.approx(everyone.var(ddof=1))
    assert two["left"] < two["variance"]
    assert two["one_look_with_cuped"] < two["one_look"] < two["any_look"]
    assert found[0]["level"] < two["level"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("power",), "expected logs to measure from, or --mean and --weekly"),
        (("power", "--mean", "5", "--weekly", "9"), "--variance: missing for --mean 5"),
        (("power", "--mean", "0.5", "--weekly", "0"), "--weekly: found 0, expected a number above 0"),
        (("power", "--mean", "0.5", "--weekly", "9", "--effect", "much"), "--effect: found 'much'"),
        (("analyze", "LOGS", "--window", "soon"), "--window: 'soon' is not a duration"),
        (("analyze", "LOGS", "--metric", "clicks"), "--metric: found 'clicks', expected one of conversion, taken"),
    ],
)
def test_what_cannot_be_is_refused(arguments: tuple[str, ...], said: str, served: Path) -> None:
    with pytest.raises(UserError, match=said):
        call(*(served if part == "LOGS" else part for part in arguments))


def test_logs_of_less_than_a_week_tell_no_power(tmp_path: Path) -> None:
    rows = [shown(f"u{unit}", unit * 3600) for unit in range(48)]
    with pytest.raises(UserError, match="holds less than a week"):
        call("power", write(tmp_path, rows), "--metric", "seconds")


def test_off_policy_on_a_table(tmp_path: Path) -> None:
    path = tmp_path / "actions.parquet"
    columns = {"query": ["a", "b", "c"], "reward": [1, 0, 1], "propensity": [0.25, 0.5, 0.5], "new": [0.5, 0.25, 0.5]}
    pd.DataFrame(columns).to_parquet(path)
    done = call("off-policy", path, "--policy", "new")
    assert "new     IPS          1.0000" in done.output
    assert "2 effective rows are too few" in done.output
    found = json.loads(call("off-policy", path, "--policy", "new", "--clip", "1.5", "--json").output)
    assert found["ips"]["mean"] == pytest.approx(2.5 / 3)
    assert found["dr"] is None
    with pytest.raises(UserError, match="no column 'target'"):
        call("off-policy", path)


def test_the_command_as_installed(tmp_path: Path) -> None:
    assert "analyze" in twinspire("experiment", "--help", check=True).out
    refused = twinspire("experiment", "analyze", tmp_path / "nowhere")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert refused.err.startswith("error: exposures: no table at")

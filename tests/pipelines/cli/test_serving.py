"""The commands that decide which versions of a model are served."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from configs.errors import UserError
from pipelines.cli import app
from serving.rollout import ROLLOUT


@pytest.fixture
def model(tmp_path) -> Path:
    for number in (1, 2, 3):
        (tmp_path / "shop" / str(number)).mkdir(parents=True)
    return tmp_path / "shop"


def said(*arguments: str | Path) -> dict[str, str]:
    """What a command prints, by name."""
    done = CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return {
        name.strip(): value.strip() for name, _, value in (line.partition(":") for line in done.output.splitlines())
    }


def refused(*arguments: str | Path) -> str:
    with pytest.raises(UserError) as error:
        CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
    return str(error.value)


def test_a_rollback_says_what_went_and_what_answers(model):
    assert said("rollback", model) == {
        "withdrawn": "3",
        "stable": "version 2",
        "next": f"twinspire serve {model}",
    }
    assert json.loads((model / ROLLOUT).read_text())["withdrawn"] == [3]


def test_without_options_nothing_is_changed(model):
    assert said("rollout", model)["stable"] == "version 3"
    assert not (model / ROLLOUT).exists()


def test_a_canary_leaves_the_stable_version_in_its_place(model):
    found = said("rollout", model, "--canary", "newest", "--share", "0.1")
    assert found == {"stable": "version 3", "next": f"twinspire serve {model}"}  # what is published next is on trial
    (model / "4").mkdir()
    found = said("rollout", model)
    assert (found["stable"], found["canary"]) == ("version 3", "version 4, for 10.0% of users")
    assert said("rollout", model, "--promote") == {"stable": "version 4", "next": f"twinspire serve {model}"}


def test_a_shadow_comes_and_goes(model):
    assert said("rollout", model, "--shadow", "2")["shadow"] == "version 2"
    assert "shadow" not in said("rollout", model, "--shadow", "none")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--stable", "9"), "stable: found version 9, expected one of [1, 2, 3]"),
        (("--canary", "latest"), "--canary: found 'latest', expected a version's number or newest"),
        (("--canary", "2", "--share", "1.5"), "canary.share: found 1.5"),
    ],
)
def test_what_cannot_be_is_said(model, options, message):
    assert message in refused("rollout", model, *options)
    assert not (model / ROLLOUT).exists()


def test_a_version_is_no_model(model):
    (model / "3" / "manifest.json").write_text("{}")
    assert f"name the folder of all versions, {model}" in refused("rollback", model / "3")


def test_what_is_promoted_answers_everyone_whatever_was_compared_before(model):
    assert said("rollout", model, "--shadow", "newest")["stable"] == "version 2"
    assert said("rollout", model, "--promote") == {"stable": "version 3", "next": f"twinspire serve {model}"}

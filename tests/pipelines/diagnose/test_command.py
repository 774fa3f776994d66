"""`twinspire diagnose` as a person calls it, on tables unlike each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.odd_data import write_ordered, write_sessions
from tests.runs import Called, settings, twinspire

_TINY = """
name = "tiny"
[data]
source = "tables"
path = {folder}
[data.events]
path = "log.csv"
query = "who"
item = "what"
time = "at"
meaning = "took it"
[data.items]
id = "what"
[[features]]
name = "what"
table = "items"
kind = "id"
"""


def called(home: Path, config: str, *overrides: str) -> tuple[Called, dict, Path]:
    (home / "odd.toml").write_text(config)
    done = twinspire("diagnose", "odd.toml", *settings(*overrides), cwd=home, check=True)
    (folder,) = (home / "runs").glob("*/diagnosis")
    assert f"diagnosis:    {folder.relative_to(home) / 'diagnosis.html'}" in done.out
    assert (folder / "diagnosis.html").stat().st_size > 20_000
    return done, json.loads((folder / "diagnosis.json").read_text()), folder.parent


def test_sessions(tmp_path: Path) -> None:
    done, found, run = called(tmp_path, write_sessions(tmp_path, "csv"))
    assert done.out.rstrip().endswith(f"next:         twinspire run {run.relative_to(tmp_path)}")
    assert {kind["name"] for kind in found["feedback"]["kinds"]} == {"view", "cart", "buy"}
    assert found["tastes"]["right"]["low"] > 0.6  # sessions keep to one block of four
    assert found["histories"]["windows"][-1]["cold_queries"] > 0.9  # and hardly any lives across a cut
    assert found["accounts"]["events"]["quarantined"]["duplicate"] == 5
    assert "of the rows of events" not in done.out
    assert not any("split.history" in one["setting"] for one in found["advice"]["settings"])  # it is set already
    again = twinspire("diagnose", "odd.toml", cwd=tmp_path, check=True)
    assert again.out == done.out
    assert "cached" in again.err


def test_sessions_are_told_to_roll(tmp_path: Path) -> None:
    done, found, _ = called(tmp_path, write_sessions(tmp_path), "split.history=cut", "split.test=0.85")
    assert 'split.history = "rolling"' in {one["setting"] for one in found["advice"]["settings"]}
    assert "set" in done.out


def test_an_order_without_a_clock(tmp_path: Path) -> None:
    done, found, _ = called(tmp_path, write_ordered(tmp_path))
    assert "An order without a clock: numbers from 1000 to 4999" in done.out
    assert found["timing"]["calendar"] is None
    assert found["contest"]["contenders"][1]["name"] == "last 400"
    assert found["tastes"]["right"]["low"] > 0.6


def test_the_demo_on_fewer_events(tmp_path: Path) -> None:
    from configs.load import builtin

    config = Path(builtin("demo")).read_text()
    _, found, _ = called(tmp_path, config, "data.simulated_events=20000")
    assert found["tastes"]["right"]["low"] > 0.55
    assert found["popularity"]["fading"]["early"]["low"] > 0.5  # the simulated items rise and fade
    assert not any(one["setting"].startswith("feature") for one in found["advice"]["settings"])


def test_what_is_too_small_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("who,what,at\n" + "".join(f"u{n},i{n % 3},2024-05-01\n" for n in range(9)))
    done, found, _ = called(tmp_path, _TINY.format(folder=json.dumps(str(tmp_path))))
    assert "could not be told" in done.out
    assert found["advice"]["design"] == "popularity"
    assert "mend first:   split: " in done.out  # no stage after this one would take the tables
    assert done.out.splitlines()[-1].startswith("next:         twinspire diagnose ")
    assert found["uncut"].startswith("split: ")


@pytest.mark.slow
@pytest.mark.data
def test_recent_popularity_is_strong_on_movielens(shared_data: Path, tmp_path: Path) -> None:
    from configs.load import builtin

    config = Path(builtin("movielens-1m")).read_text()
    done, found, _ = called(tmp_path, config, f"data.path={shared_data / 'ml-1m'}")
    text = " ".join(done.out.split())
    assert "Recent popularity is strong: the last 7d beat all time." in text
    assert "last 7d" in found["contest"]["contenders"][1]["name"]
    assert found["contest"]["contenders"][1]["over"]["low"] > 0
    assert found["tastes"]["right"]["low"] > 0.75

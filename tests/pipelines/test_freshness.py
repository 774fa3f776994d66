"""The freshness gate on figures made up by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from configs.stages import Freshness
from pipelines.freshness import as_json, failures, fresh, judge, next_step, print_checks
from pipelines.staleness import Ages, Beside, Drift, Missing, Staleness

DAY = 86_400
TABLE = Path("items.parquet")
FRESH = Staleness(
    version=Path("bundles/shop/3"),
    now=0,
    limits=Freshness(),
    ages=Ages(200, 0, 30 * DAY, DAY),
    beside=Beside(1000, 2000, 200, 1000, True, 1000),
    missing=Missing(200, 1, 1, ("a", "b"), 0),
    drift=Drift(198, 198, 0.01, 0.5, 0.1, 0),
)


@pytest.fixture
def published(tmp_path: Path) -> Staleness:
    """The same of a version that stands in a model's folder."""
    (tmp_path / "shop" / "3").mkdir(parents=True)
    return replace(FRESH, version=tmp_path / "shop" / "3", beside=Beside(0, 2000, 200, 1000, False))


def status(found: Staleness, name: str) -> str:
    return next(check.status for check in judge(found) if check.name == name)


def test_what_is_exactly_at_every_limit_is_fresh():
    assert [check.status for check in judge(FRESH)] == ["ok"] * 6
    assert [check.value for check in judge(FRESH)] == [30 * DAY, 0.01, 0.01, 1000, 1000, 0.01]
    assert fresh(judge(FRESH))
    assert failures(judge(FRESH)) == ""


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"ages": Ages(200, 0, 30 * DAY + 1, DAY)}, "age of the oldest"),
        ({"missing": Missing(200, 3, 0, (), 0)}, "not shown"),
        ({"missing": Missing(200, 0, 3, (), 0)}, "not shown"),
        ({"missing": Missing(200, 0, 0, ("a", "b", "c"), 0)}, "not in the table"),
        ({"beside": Beside(1001, 2000, 200, 1000, True, 1000)}, "beside the index"),
        ({"beside": Beside(1000, 2000, 200, 1000, True, 1001)}, "out of date"),
        ({"drift": Drift(198, 198, 0.0101, 0.0, 0.0, 0)}, "drift"),
    ],
)
def test_one_step_beyond_a_limit_fails_that_check_alone(changed, name):
    checks = judge(replace(FRESH, **changed))
    assert {check.name for check in checks if check.status == "too stale"} == {name}
    assert [check.status for check in checks].count("ok") == 5
    assert not fresh(checks)
    assert failures(checks).startswith(f"{name}: ")


def test_limits_come_from_the_config():
    loose = replace(FRESH, limits=Freshness(max_age="4w", max_missing=0.0, max_drift=2.0))
    assert [check.status for check in judge(loose)] == ["too stale"] * 3 + ["ok"] * 3
    assert judge(loose)[0].limit == 28 * DAY


def test_what_cannot_be_told_is_not_fresh():
    old = "age of the oldest"
    assert status(replace(FRESH, ages=Ages(200, 200, None, None)), old) == "cannot tell"
    assert status(replace(FRESH, ages=Ages(200, 1, DAY, DAY)), old) == "cannot tell"
    assert status(replace(FRESH, ages=Ages(200, 1, 31 * DAY, DAY)), old) == "too stale"
    assert status(replace(FRESH, missing=Missing(0, 0, 0, (), 0)), "not shown") == "cannot tell"
    assert status(replace(FRESH, drift=Drift(0, 0, 0.0, 0.0, 0.0, 0)), "drift") == "cannot tell"
    assert not fresh(judge(replace(FRESH, ages=Ages(200, 1, DAY, DAY))))


def test_there_is_one_next_step(published):
    alone = replace(published, missing=None, drift=None)
    model = str(published.version.parent)

    def step(found: Staleness, items: Path | None = TABLE) -> tuple[str, ...]:
        return next_step(found, judge(found), items)

    assert step(published) == ()
    assert step(alone, None) == ("staleness", str(published.version), "ITEMS")
    old = Ages(200, 0, 99 * DAY, DAY)
    assert step(replace(alone, ages=old), None) == ("upsert", model, "ITEMS")
    assert step(replace(published, ages=old)) == ("upsert", model, "items.parquet", "--remove=a", "--remove=b")
    # more than may stand beside the index; more than a command line should name; and where upsert would refuse
    full = replace(published, ages=old, missing=Missing(200, 600, 0, (), 600), drift=Drift(9, 9, 1.0, 1.0, 1.0, 400))
    assert step(full)[0] == "upsert"
    assert step(replace(full, drift=replace(full.drift, entering=401))) == ("run", "CONFIG")
    assert step(replace(full, beside=replace(full.beside, items=1, compacts=True)))[0] == "upsert"
    long = replace(alone, beside=Beside(1001, 2000, 200, 1000, True))
    assert step(long, None) == ("upsert", model, "--compact")
    assert step(replace(long, ages=old), None) == ("upsert", model, "ITEMS")
    assert step(replace(long, beside=replace(long.beside, compacts=False)), None) == ("run", "CONFIG")
    many = tuple(map(str, range(21)))
    assert step(replace(published, missing=Missing(200, 0, 0, many, 0))) == ("run", "CONFIG")
    assert step(replace(published, missing=Missing(200, 0, 0, many[1:], 0)))[0] == "upsert"
    assert step(replace(published, version=Path("no/where/3"), ages=old)) == ("run", "CONFIG")


def test_the_table_says_each_figure_and_its_limit(capsys):
    print_checks(judge(replace(FRESH, ages=Ages(200, 5, 90 * DAY, 5400))), Console(width=100, highlight=False))
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[1].startswith("age of the oldest 90.0 days 30.0 days too stale median 1.5 hours, of 195 shown; ")
    assert "not shown 1.0% 1.0% ok 2 of 200 available: 1 unknown, 1 hidden" in lines
    assert "not in the table 1.0% 1.0% ok 2 of 200 shown" in lines
    assert "beside the index 1,000 1,000 ok 500.0% of 200 shown" in lines
    assert any(
        line.startswith("drift 0.0100 0.0100 ok mean; 95th percentile 0.5000; 10.0% of 198 moved") for line in lines
    )


def test_json_holds_all_of_it():
    said = as_json(FRESH, judge(FRESH))
    assert (said["fresh"], said["version"], said["ages"]["oldest"]) == (True, "bundles/shop/3", 30 * DAY)
    assert said["limits"] == {"max_age": "30d", "max_missing": 0.01, "max_drift": 0.01}
    assert [check["key"] for check in said["checks"]] == [
        "freshness.max_age", "freshness.max_missing", "freshness.max_missing", "index.delta", "index.delta",
        "freshness.max_drift",
    ]  # fmt: skip

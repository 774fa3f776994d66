"""Staleness of real bundles, held against item tables whose every difference is planted."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from configs.errors import UserError
from pipelines.cli import app
from pipelines.freshness import fresh, judge
from pipelines.staleness import Ages, Beside, Missing, staleness
from pipelines.upsert import upsert
from serving.computed import COMPUTED, UNKNOWN, read_moments
from serving.manifest import MANIFEST, BundleError, seal, verify
from tests.runs import twinspire
from tests.serving import exports, small
from tests.serving.small import END, FILTERS, IDS, ITEMS, UNINDEXED
from towers.features import Preprocess, encode

pytestmark = pytest.mark.slow

DAY = 86_400
SHOWN = [item for row, item in enumerate(IDS) if row not in UNINDEXED]
INDEXED = len(SHOWN)


@pytest.fixture(scope="module")
def built() -> small.Small:
    return small.build("exact")


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    """A bundle whose vectors are of END; not to be changed."""
    return exports.exported("exact", tmp_path_factory)


@pytest.fixture
def model(exported, tmp_path) -> Path:
    """A model's folder with one version."""
    return small.copy(exported, tmp_path / "small" / "1").parent


def items_of(ids: list[str]) -> pd.DataFrame:
    """The rows of the table that the bundle was built from; items that it does not know look like its first ones."""
    features, rows = small.tables(np.random.default_rng(0))[0], [IDS.index(i) if i in IDS else 0 for i in ids]
    columns = {name: list(values[rows]) for name, values in features.items()} | {"item": ids, "item_id": ids}
    return pd.DataFrame(columns | {name: [values[row] for row in rows] for name, values in FILTERS.items()})


def written(table: pd.DataFrame, path: Path) -> Path:
    table.to_parquet(path)
    return path


def statuses(*arguments: Any, **named: Any) -> dict[str, str]:
    return {check.name: check.status for check in judge(staleness(*arguments, **named))}


def test_a_bundle_held_against_the_table_it_was_built_from_is_fresh(model, tmp_path):
    found = staleness(model, written(items_of(SHOWN), tmp_path / "t.parquet"), now=END + 3 * DAY)
    assert found.version == model / "1"
    assert found.ages == Ages(INDEXED, 0, 3 * DAY, 3 * DAY)
    assert found.beside == Beside(0, INDEXED, INDEXED, 1000, True)
    assert found.missing == Missing(INDEXED, 0, 0, (), 0)
    assert (found.drift.known, found.drift.compared, found.drift.moved, found.drift.entering) == (INDEXED,) * 2 + (0, 0)
    assert (found.drift.mean, found.drift.p95) == (0, 0)
    assert fresh(judge(found))


def test_every_planted_difference_is_counted_and_drift_is_what_the_towers_say(built, model, tmp_path):
    """5 removed items, 3 new, 2 that the bundle knows without showing them, and 8 changed, among them one of the 2."""
    removed, hidden = SHOWN[40:45], [IDS[row] for row in sorted(UNINDEXED)[3:5]]
    changed = [*SHOWN[20:27], hidden[0]]
    ids = [item for item in SHOWN if item not in removed] + ["new", "neu|1", "später"] + hidden
    table = items_of(ids[::-1])
    table.loc[table["item"].isin(changed), ["genre", "price"]] = ["drama", 1e4]
    found = staleness(model, written(table, tmp_path / "t.parquet"), now=END)
    assert found.missing == Missing(INDEXED - 5 + 3 + 2, 3, 2, tuple(removed), 5)

    features = small.tables(np.random.default_rng(0))[0]
    rows = [IDS.index(item) for item in changed]
    features["genre"][rows], features["price"][rows] = "drama", 1e4
    after = built.towers.items(encode(Preprocess(built.config.on("items"), built.fitted), features)).numpy()
    distances = np.zeros(INDEXED - 5 + 2)
    for place, row in enumerate(rows):
        one, other = built.catalogue.static[row].astype(float), after[row].astype(float)
        distances[place] = 1 - one @ other / np.sqrt((one @ one) * (other @ other))
    assert (distances[:8] > 1e-3).all()
    assert found.drift.mean == pytest.approx(distances.mean(), rel=1e-3)
    assert found.drift.p95 == pytest.approx(np.percentile(distances, 95), rel=1e-3)
    assert (found.drift.known, found.drift.compared) == (len(distances),) * 2
    assert (found.drift.moved, found.drift.entering) == (8 / len(distances), 7)
    assert {check.name: check.status for check in judge(found)} == {
        "age of the oldest": "ok",
        "not shown": "too stale",
        "not in the table": "too stale",
        "beside the index": "ok",
        "out of date": "ok",
        "drift": "too stale" if distances.mean() > 0.01 else "ok",
    }

    done = upsert(model, tmp_path / "t.parquet", removed, now=END + 50 * DAY)  # what it would put beside the index
    assert done.outcome.delta == found.missing.entering + found.drift.entering == 12
    again = staleness(model, tmp_path / "t.parquet", now=END + 51 * DAY)
    assert again.version == model / "2"
    assert again.ages == Ages(INDEXED, 0, DAY, DAY)
    assert again.beside == Beside(12, INDEXED, INDEXED, 1000, True, len(removed) + found.drift.entering)
    assert again.missing == Missing(INDEXED, 0, 0, (), 0)
    assert again.drift.mean == again.drift.entering == 0
    assert fresh(judge(again))


def test_upsert_renews_what_is_put_in_and_nothing_else(model, tmp_path):
    """An unchanged and a changed item, a new one, one that is not shown; another one is removed."""
    table = items_of(["i50", "i51", "new", "i54"])
    table.loc[1, "price"] = 1e4
    assert IDS.index("i54") in UNINDEXED
    done = upsert(model, written(table, tmp_path / "t.parquet"), ["i60"], now=END + 5 * DAY)
    assert (done.outcome.changed, done.outcome.added) == (1, 1)
    expected = np.full(ITEMS + 1, END)
    expected[[*(IDS.index(item) for item in ("i50", "i51", "i54")), ITEMS]] = END + 5 * DAY
    assert read_moments(model / "2", ITEMS + 1).tolist() == expected.tolist()
    assert read_moments(model / "1", ITEMS).tolist() == [END] * ITEMS
    assert str(COMPUTED) in verify(model / "2")["files"]

    found = staleness(model, now=END + 30 * DAY)  # without a table
    assert found.ages == Ages(INDEXED + 1, 0, 30 * DAY, 30 * DAY)
    assert (found.beside.items, found.missing, found.drift) == (3, None, None)
    assert statuses(model, now=END + 30 * DAY) == {
        "age of the oldest": "ok", "beside the index": "ok", "out of date": "ok"
    }  # fmt: skip
    assert statuses(model, now=END + 30 * DAY + 1)["age of the oldest"] == "too stale"


def resealed(folder: Path, config: dict[str, Any]) -> Path:
    """The model's folder of a version whose manifest says another config."""
    facts = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).unlink()
    seal(folder, {name: value for name, value in facts.items() if name not in ("files", "id")} | {"config": config})
    return folder.parent


def without_moments(model: Path) -> Path:
    """The only version as older code sealed it."""
    config = verify(model / "1")["config"]
    del config["freshness"]
    (model / "1" / COMPUTED).unlink()
    return resealed(model / "1", config)


def test_an_old_bundle_cannot_tell_until_everything_was_put_in(model, tmp_path):
    table = items_of(SHOWN)
    assert str(COMPUTED) not in verify(without_moments(model) / "1")["files"]
    assert staleness(model, now=END).ages == Ages(INDEXED, INDEXED, None, None)
    assert statuses(model, now=END)["age of the oldest"] == "cannot tell"
    upsert(model, written(table[:100], tmp_path / "t.parquet"), now=END)
    assert read_moments(model / "2", ITEMS)[[IDS.index(SHOWN[99]), IDS.index(SHOWN[100])]].tolist() == [END, UNKNOWN]
    assert staleness(model, now=END + DAY).ages == Ages(INDEXED, INDEXED - 100, DAY, DAY)
    assert statuses(model, now=END + DAY)["age of the oldest"] == "cannot tell"
    assert statuses(model, now=END + 99 * DAY)["age of the oldest"] == "too stale"
    upsert(model, written(table[100:], tmp_path / "t.parquet"), now=END + 2 * DAY)
    assert staleness(model, now=END + 3 * DAY).ages == Ages(INDEXED, 0, 3 * DAY, 3 * DAY)
    assert statuses(model, now=END + 3 * DAY)["age of the oldest"] == "ok"


def test_what_is_not_available_yet_is_not_missing(model, tmp_path):
    config = verify(model / "1")["config"]
    config["data"]["items"]["available_from"] = "since"
    resealed(model / "1", config)
    table = items_of([*SHOWN, "new", "neu|1"]).assign(since=END)
    table.loc[table["item"] == "neu|1", "since"] = END + DAY
    written(table, tmp_path / "t.parquet")
    assert staleness(model, tmp_path / "t.parquet", now=END).missing == Missing(INDEXED + 1, 1, 0, (), 1)
    assert staleness(model, tmp_path / "t.parquet", now=END + DAY).missing == Missing(INDEXED + 2, 2, 0, (), 2)


def test_of_very_many_items_some_are_drawn_always_the_same(model, tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.staleness._MOST", 50)
    monkeypatch.setattr("pipelines.embedding._BLOCK", 7)
    table = items_of(SHOWN).assign(price=1e4)
    found = staleness(model, written(table, tmp_path / "t.parquet"), now=END)
    assert (found.drift.known, found.drift.compared, found.drift.moved) == (INDEXED, 50, 1)
    assert found.drift.entering == INDEXED
    assert staleness(model, tmp_path / "t.parquet", now=END) == found
    said = next(check.detail for check in judge(found) if check.name == "drift")
    assert "100.0% of 50 moved, drawn from 135" in said


def test_a_table_of_other_items_alone(model, tmp_path):
    found = staleness(model, written(items_of(["new", "neu|1"]), tmp_path / "t.parquet"), now=END)
    assert found.missing == Missing(2, 2, 0, tuple(SHOWN), 2)
    assert found.drift.compared == 0
    assert {check.name: check.status for check in judge(found)}["drift"] == "cannot tell"


def test_what_cannot_be_measured_is_refused_in_one_line(model, tmp_path):
    def refused(said: str, *arguments: Any, **named: Any) -> None:
        with pytest.raises(UserError, match=said) as error:
            staleness(*arguments, **named)
        assert "\n" not in str(error.value)

    refused("no table at .*nowhere", model, tmp_path / "nowhere.csv")
    refused("is no bundle", tmp_path / "nowhere")
    refused("expected one of freshness.max_age, freshness.max_missing", model, overrides=["index.delta=1"])
    soon = "freshness.max_age=soon"
    refused(f"--set {soon}: freshness.max_age: 'soon' is not a duration", model, overrides=[soon])
    refused("freshness.max_missing: found 2", model, overrides=["freshness.max_missing=2"])
    image = [[3e38, 3e38, -3e38]] * INDEXED
    odd = written(items_of(SHOWN).assign(image=image), tmp_path / "odd.parquet")
    refused("item .* has features beyond reason", model, odd)
    popular = tmp_path / "popular" / "1"
    popular.mkdir(parents=True)
    seal(popular, {"signatures": {"recommend": {}}, "config": small.CONFIG})
    refused("holds no towers that embed items", popular)
    with (model / "1" / COMPUTED).open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\1")
    with pytest.raises(BundleError, match=r"computed_at\.npy was changed"):
        staleness(model)


def test_the_command_exits_as_a_gate_and_says_what_to_do(model, tmp_path):
    """By the machine's clock the vectors, of 2023, are far too old."""
    table = written(items_of([*SHOWN[1:], "new"]), tmp_path / "t.parquet")
    stale = twinspire("staleness", model, table, cwd=tmp_path)
    assert stale.code == 3
    assert "age of the oldest" in stale.out
    assert "too stale" in stale.out
    assert shlex.join(["twinspire", "upsert", str(model), str(table), f"--remove={SHOWN[0]}"]) in stale.out
    assert "at most 30.0 days by freshness.max_age (too stale)" in stale.err
    asked = ("staleness", model, table, "--set", "freshness.max_age=9000d", "--json")
    quiet = CliRunner().invoke(app, ["--quiet", *map(str, asked)])
    assert quiet.exit_code == 0
    found = json.loads(quiet.stdout)
    assert (found["fresh"], found["missing"]["unknown"], found["missing"]["gone"]) == (True, 1, [SHOWN[0]])
    assert [check["status"] for check in found["checks"]] == ["ok"] * 6

import dataclasses
import sys
from types import ModuleType

import numpy as np
import pytest

from pipelines.baselines.families import EXTRA, LIGHTFM, families, popularity_families
from pipelines.baselines.windows import windows_of
from tests import world

DAY = world.DAY


@pytest.fixture(autouse=True)
def both_installed(monkeypatch):
    """Not every Python has a wheel of lightfm-next, and nothing here fits."""
    for module in ("lightfm", "surprise"):
        monkeypatch.setitem(sys.modules, module, ModuleType(module))


EVENTS = {"path": "events.csv", "query": "user", "item": "item", "time": "time", "meaning": "taken"}


def left_out(changes: dict | None = None, ratings: tuple[float, ...] | None = (3.0, 4.0)) -> dict[str, str]:
    """Events are rated by turns, or not at all."""
    data = world.dataset(world.config(changes), world.log())
    if ratings is not None:
        by_turns = np.resize(np.array(ratings, np.float32), len(data.log))
        data = dataclasses.replace(data, tables=dataclasses.replace(data.tables, ratings=by_turns))
    return {family.name: family.left_out for family in families(data) if family.left_out}


def test_everything_installed_that_applies_runs():
    assert left_out() == {}


def test_every_family_has_a_name_of_its_own_and_makes_its_reference():
    data = world.dataset(world.config(), world.log())
    table = [family for family in families(data) if "ratings" not in family.name]
    assert len({family.name for family in table}) == len(table)
    for family in table:
        settings = family.settings[0]
        if family.base:
            settings = settings | next(one for one in table if one.name == family.base).settings[0]
        assert family.make(**settings, name="mine").name == "mine"


@pytest.mark.parametrize(
    ("module", "names", "how"),
    [
        ("lightfm", ["LightFM"], LIGHTFM),
        ("surprise", ["biases on ratings", "k-NN on ratings", "SVD on ratings"], EXTRA),
    ],
)
def test_what_is_not_installed_says_what_to_install(monkeypatch, module, names, how):
    monkeypatch.setitem(sys.modules, module, None)
    assert left_out() == dict.fromkeys(names, f"not installed: {how}")
    assert how.startswith("pip install ")


def test_what_is_installed_and_broken_says_so(monkeypatch, tmp_path):
    (tmp_path / "lightfm.py").write_text("import no_such_part")
    monkeypatch.delitem(sys.modules, "lightfm", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    assert left_out() == {"LightFM": "lightfm cannot be imported: No module named 'no_such_part'"}


@pytest.mark.parametrize(
    ("ratings", "reason"),
    [
        (None, "no ratings: data.events.rating names no column"),
        ((np.nan,), "no ratings: stars is empty in the training window"),
        ((3.5, np.nan), "all ratings of the training window are 3.5"),
    ],
)
def test_data_without_ratings_to_learn_from(ratings, reason):
    found = left_out({"data.events": EVENTS | {"rating": "stars"}}, ratings)
    assert found == dict.fromkeys(["biases on ratings", "k-NN on ratings", "SVD on ratings"], reason)


def test_a_catalogue_too_large_for_items_by_items():
    reason = "150 items, at most 149: baselines.max_items"
    assert left_out({"baselines.max_items": 149}) == dict.fromkeys(
        ["EASE", "EASE + popularity", "k-NN on ratings"], reason
    )
    assert left_out({"baselines.max_items": 150}) == {}


def test_items_of_which_nothing_is_said():
    plain = [{"name": "item_id", "table": "items", "kind": "id"}]
    changes = {"features": plain, "data.segment": None}
    assert left_out(changes) == {"TF-IDF content": "no text, category or multi_category feature of items"}


@pytest.mark.parametrize(
    ("switch", "names"),
    [
        ("content", ["TF-IDF content"]),
        ("user_neighbours", ["user-kNN"]),
        ("neighbours", ["item-kNN", "item-kNN + popularity"]),
        ("ease", ["EASE", "EASE + popularity"]),
        ("als", ["ALS"]),
        ("bpr", ["BPR"]),
        ("lightfm", ["LightFM"]),
        ("ratings", ["biases on ratings", "k-NN on ratings", "SVD on ratings"]),
        ("blends", ["item-kNN + popularity", "EASE + popularity"]),
    ],
)
def test_switched_off(switch, names):
    assert left_out({f"baselines.{switch}": False}) == dict.fromkeys(names, f"switched off: baselines.{switch} = false")


def test_windows_and_what_is_tried_follow_the_config():
    data = world.dataset(world.config({"baselines.windows": ["2d", "10d"]}), world.log())
    found = {family.name: family for family in popularity_families(data)}
    assert list(found) == [
        "popularity",
        "popularity 2d",
        "popularity 10d",
        "popularity 10d by region",
        "popularity decaying",
        "popularity novelty-discounted",
    ]
    assert found["popularity decaying"].settings[0] == {"half_life": 2 * DAY}
    assert found["popularity novelty-discounted"].settings[0] == {"window": 10 * DAY, "power": 0.2}
    assert found["popularity 2d"].make().window == 2 * DAY
    assert windows_of(world.dataset(world.config(), world.log())) == ("7d", "30d")


def test_without_a_clock_windows_are_parts_of_the_log():
    features = [{"name": "item_id", "table": "items", "kind": "id"}]
    events = {"path": "e.csv", "query": "u", "item": "i", "order": "o", "meaning": "taken"}
    config = world.config({"data.events": events, "features": features, "data.segment": None})
    data = world.dataset(config, world.log())
    short, long = windows_of(data)
    span = data.cuts.validation.moment - data.log.time[0]
    assert (short, long) == (span // 20, span // 4)

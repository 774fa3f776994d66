"""Popular items as plain lists: whom they are for, what is passed over, and what an upsert changes."""

from __future__ import annotations

import json

import pytest

from serving.manifest import BundleError
from serving.popular import EVERYONE, Popular, PopularItem, read_popular, write_popular

ITEMS = {
    "a": PopularItem("A", {"region": ["eu"], "stock": ["yes"]}),
    "b": PopularItem("B", {"region": ["eu", "us"], "stock": ["no"]}),
    "c": PopularItem("C", {"region": [], "stock": ["yes"]}),
    "d": PopularItem("D", {"region": ["us"], "stock": ["yes"]}),
}
LISTS = Popular("country", ITEMS, {EVERYONE: ["a", "b", "c", "d"], "at": ["d", "b"]})


@pytest.mark.parametrize(
    ("segment", "barred", "wanted", "expected"),
    [
        (None, (), {}, "abcd"),
        ("zz", (), {}, "abcd"),
        ("at", (), {}, "dbac"),  # its own first, then everyone's
        ("at", ("d", "a"), {}, "bc"),
        (None, (), {"region": ["us"]}, "bd"),
        (None, (), {"region": ["us", "eu"]}, "abd"),
        (None, (), {"region": ["us"], "stock": ["yes"]}, "d"),
        ("at", (), {"region": []}, "dbac"),
        (None, (), {"region": ["mars"]}, ""),
    ],
)
def test_a_list_is_the_segments_and_then_everyones_of_what_may_be_shown(segment, barred, wanted, expected):
    assert LISTS.best(segment, 10, barred, wanted) == [*expected]
    assert LISTS.best(segment, 1, barred, wanted) == [*expected[:1]]


def test_an_item_without_the_filter_is_not_shown_to_who_asks_for_it():
    assert LISTS.best(None, 10, (), {"age": ["18"]}) == []


def test_an_upsert_changes_values_and_titles_and_takes_items_away():
    changed = LISTS.changed({"a": {"region": ["us"]}}, {"a": "New A", "unknown": "?"}, {"b"})
    assert changed.lists == {EVERYONE: ["a", "c", "d"], "at": ["d"]}
    assert changed.items["a"] == PopularItem("New A", {"region": ["us"]})
    assert set(changed.items) == {"a", "c", "d"}
    assert LISTS.items["a"].title == "A"


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "deep" / "popular.json"
    write_popular(path, LISTS)
    assert read_popular(path) == LISTS


def test_an_older_bundle_has_none(tmp_path):
    assert read_popular(tmp_path / "popular.json") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"segment": null, "items": {}, "lists": {"": ["a"]}}',
        '{"segment": 1, "items": [], "lists": {}}',
    ],
)
def test_a_damaged_file_is_named(tmp_path, text):
    path = tmp_path / "popular.json"
    path.write_text(text)
    with pytest.raises(BundleError, match=r"popular\.json cannot be read"):
        read_popular(path)


def test_the_file_holds_no_number_that_json_lacks(tmp_path):
    write_popular(tmp_path / "p.json", LISTS)
    assert json.loads((tmp_path / "p.json").read_text())["lists"]["at"] == ["d", "b"]

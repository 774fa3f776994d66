"""Lists of popularity, for when the model has none."""

from __future__ import annotations

import pytest

from serving.popular import EVERYONE, Popular, PopularItem
from serving.server.api import RecommendRequest
from serving.server.recommend import Asked, fallback
from serving.state import QueryState

ITEMS = {item: PopularItem(item.upper(), {}) for item in "abc"}
POPULAR = Popular("floor", ITEMS, {EVERYONE: ["a", "b", "c"], "0": ["c"], "2": ["b"]})


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, "abc"),
        ({"features": {"floor": 0}}, "cab"),  # a value like any other
        ({"features": {"floor": 2}}, "bac"),
        ({"features": {"floor": None}}, "abc"),
        ({"history": ["a"], "exclude": ["b"]}, "c"),
        ({"likes": ["a", "genre=drama"]}, "bc"),  # counts as taken, as it does for the model
    ],
)
def test_a_list_is_the_segments_without_what_was_taken_or_chosen(body, expected):
    answer = fallback(POPULAR, Asked(RecommendRequest(**body), None, 0), "worker")
    assert [one.item for one in answer.items] == [*expected]


def test_what_was_taken_may_be_listed_where_the_config_says_so():
    again = Popular("floor", ITEMS, POPULAR.lists, again=True)
    asked = Asked(RecommendRequest(likes=["c"]), QueryState({"floor": 2}, ["b"], [1]), 0)
    assert [one.item for one in fallback(again, asked, "worker").items] == ["b", "a", "c"]

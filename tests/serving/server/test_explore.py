"""Places that chance fills: which ones, from what, and how likely."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from configs.errors import ConfigError
from configs.load import load_serving
from configs.serving import Explore
from serving.server.explore import explored, extra

TEN = "abcdefghij"


def test_without_a_setting_nothing_is_drawn():
    assert explored(TEN, 4, None, random.Random(0)) == ([*"abcd"], None)
    assert extra(None) == 0


@pytest.mark.parametrize(("candidates", "k"), [("abc", 4), ("abcd", 4), (TEN, 2)])
def test_where_there_is_nothing_to_choose_nothing_is_drawn(candidates, k):
    assert explored(candidates, k, Explore(slots=2, pool=5), random.Random(0)) == ([*candidates[:k]], None)


def test_each_of_the_pool_is_as_likely_in_each_drawn_place_as_is_logged():
    rng, explore, drawn = random.Random(0), Explore(slots=2, pool=5), [Counter(), Counter()]
    for _ in range(10_000):
        found, likely = explored(TEN, 4, explore, rng)
        assert (found[:2], likely) == ([*"ab"], [1.0, 1.0, 0.2, 0.2])
        assert len(set(found)) == 4
        for place, item in enumerate(found[2:]):
            drawn[place][item] += 1
    for counts in drawn:
        assert set(counts) == set("cdefg")  # the places' own items, and those right after
        assert all(abs(count - 2_000) < 5 * (10_000 * 0.2 * 0.8) ** 0.5 for count in counts.values())
    assert extra(explore) == 3


def test_few_candidates_make_a_small_pool():
    _, likely = explored("abcde", 4, Explore(slots=1, pool=20), random.Random(0))
    assert likely == [1.0, 1.0, 1.0, 0.5]


def test_a_pool_no_larger_than_what_is_drawn_is_refused():
    with pytest.raises(ConfigError, match="explore"):
        load_serving(None, ["explore.slots=5", "explore.pool=5"])

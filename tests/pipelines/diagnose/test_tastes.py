from __future__ import annotations

import numpy as np
import pytest

from pipelines.diagnose.tastes import Tastes, tastes
from tests.pipelines.diagnose.worlds import DAY, START, blocks, observed, plain, popular


def told(of) -> Tastes:
    assert of.dataset is not None, of.problem
    return tastes(of.dataset)


def test_blocks_are_told_apart() -> None:
    right = told(blocks()).right
    assert right.mean > 0.75  # one pair in four shares its block and cannot be told
    assert right.low > 0.7
    assert right.n > 80


def test_popularity_alone_is_no_taste() -> None:
    """Over many worlds without differences, the interval leaves out one half about as seldom as it promises."""
    found = [told(plain(seed, events=4_000)).right for seed in range(40)]
    assert np.mean([one.mean for one in found]) == pytest.approx(0.5, abs=0.02)
    assert sum(not one.low <= 0.5 <= one.high for one in found) <= 6  # of 40 at 95%: more than 6 is one in 200


def test_neither_trends_nor_long_pasts_look_like_taste() -> None:
    """Popularity moves on, some queries were here long before others, some take ten times as much."""
    found = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        events, queries = 5_000, 400
        query = np.minimum(rng.exponential(60, events), queries - 1).astype(int)
        day = rng.uniform(query % 20 * 2, 60)
        item = (popular(rng, events, 80) + day.astype(int)) % 140
        found.append(told(observed(query, item, START + (day * DAY).astype(int), n_items=140)).right)
    assert np.mean([one.mean for one in found]) == pytest.approx(0.5, abs=0.03)
    assert sum(not one.low <= 0.5 <= one.high for one in found) <= 4


def test_too_few_are_few() -> None:
    found = told(plain(events=400, queries=20))
    assert found.right.n <= found.pairs <= 10


def test_the_same_seed_gives_the_same_pairs() -> None:
    assert told(blocks()) == told(blocks())

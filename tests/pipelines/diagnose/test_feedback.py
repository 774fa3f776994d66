from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipelines.diagnose import Observed
from pipelines.diagnose.feedback import feedback
from tests.pipelines.diagnose.worlds import observed


def test_kinds_pairs_and_density() -> None:
    found = feedback(observed([0, 0, 0, 1], [0, 0, 1, 3], [1, 2, 3, 4], kinds=["a", "b", "b", "b"]))
    assert [(kind.name, kind.events, kind.weight) for kind in found.kinds] == [("b", 3, 1.0), ("a", 1, 1.0)]
    assert (found.pairs, found.density, found.per_query) == (3, 3 / 8, 1.5)
    assert found.ratings is None
    assert found.meaning == "took it"


def test_what_targets_count_is_that_of_training() -> None:
    """q0 views i0 twice and then buys it; q1 views i1: two targets, and the buy stands for what led to it."""
    log = ([0, 0, 0, 1], [0, 0, 0, 1], [1, 2, 3, 4])
    more = {"kinds": ["view", "view", "buy", "view"], "weights": [1, 1, 4, 1], "values": [1, 1, 2, 2]}
    shares = {kind.name: kind.share for kind in feedback(observed(*log, **more)).kinds}
    assert shares == pytest.approx({"view": 2 / 10, "buy": 8 / 10})
    kept = {kind.name: kind.share for kind in feedback(observed(*log, **more, data={"seen_items": "keep"})).kinds}
    assert kept == pytest.approx({"view": 4 / 12, "buy": 8 / 12})
    alike = {kind.name: kind.share for kind in feedback(observed(*log, **more, train={"weighted": False})).kinds}
    assert alike == {"view": 1, "buy": 0}  # of events that count the same, the first stands for all


def test_what_follows_the_test_cut_is_no_target_of_training() -> None:
    """A thousand events, of which the last hundred, after the cut, are buys that count 100 each."""
    query, late = np.arange(1_000), np.arange(1_000) >= 900
    kinds, values = np.where(late, "buy", "view"), np.where(late, 100, np.where(query < 450, 1, 2))
    log = observed(query, query % 50, query, kinds=kinds, values=values, clock=False, split={"test": 0.9})
    found = feedback(log)
    assert {kind.name: (kind.events, kind.share) for kind in found.kinds} == {"view": (900, 1), "buy": (100, 0)}
    assert found.dearest == pytest.approx(8 * 2 / (450 + 449 * 2))  # of the 899 before the cut


def dear(value: float, **more: Any) -> Observed:
    """A thousand pairs, the first 899 before the test cut; the first ten are worth `value` and the others 1."""
    query = np.arange(1_000)
    return observed(query, query % 50, query, values=np.where(query < 10, value, 1), clock=False, **more)


def test_the_dearest_targets() -> None:
    assert feedback(dear(100)).dearest == pytest.approx(8 * 100 / (10 * 100 + 889))
    assert np.isnan(feedback(dear(1)).dearest)
    assert np.isnan(feedback(dear(100, train={"weighted": False})).dearest)
    assert np.isnan(feedback(observed([0, 1], [0, 1], [1, 2], values=[1, 9])).dearest)


def test_ratings_by_hand() -> None:
    """Four ratings, one event without: the means of q0 (1, 2) and q1 (4, 5) are 1.5 and 4.5.

    Total variance 10 / 3 with 3 degrees of freedom, within 1 / 2 with 2: epsilon squared is 1 - .5 / (10 / 3) = .85.
    """
    found = feedback(observed([0, 0, 0, 1, 1], [0, 1, 2, 0, 1], [1, 2, 3, 4, 5], ratings=[1, np.nan, 2, 4, 5])).ratings
    assert found is not None
    assert (found.present, found.mean) == (0.8, 3.0)
    assert found.deviation == pytest.approx(np.sqrt(10 / 4))
    assert (found.values, found.counts, found.binned) == ((1.0, 2.0, 4.0, 5.0), (1, 1, 1, 1), False)
    assert found.between_queries == pytest.approx(0.85)


def test_chance_is_not_a_difference_between_queries() -> None:
    rng = np.random.default_rng(0)
    query = np.repeat(np.arange(400), 5)
    found = feedback(observed(query, np.arange(2_000) % 50, np.arange(2_000), ratings=rng.normal(3, 1, 2_000))).ratings
    assert found is not None
    assert found.between_queries == pytest.approx(0, abs=0.04)  # 20% of the raw variance lies between means of five
    assert found.binned
    assert sum(found.counts) == 2_000


def test_a_rating_column_without_ratings_is_implicit() -> None:
    assert feedback(observed([0, 1], [0, 1], [1, 2], ratings=[np.nan, np.nan])).ratings is None

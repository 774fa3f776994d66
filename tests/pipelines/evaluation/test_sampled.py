"""Sampled negatives: easier than the whole catalogue, marked, and kept apart."""

import numpy as np
import pytest

from pipelines.evaluation.metrics import at_depths
from pipelines.evaluation.ranking import rank
from pipelines.evaluation.sampled import load_sampled, sampled, save_sampled
from tests import world


def _by_hash(requests):
    """Scores that have nothing to do with anything."""
    return np.tile(np.random.default_rng(0).random(world.ITEMS, np.float32), (len(requests), 1))


def _dataset(negatives):
    return world.dataset(world.config({"evaluation.sampled_negatives": negatives}), world.log())


def test_every_name_says_that_it_is_sampled_and_every_depth_is_measured():
    found = sampled(_dataset(10), {"towers": _by_hash, "popularity": _by_hash})
    assert [row.name for row in found.rows] == ["towers (sampled)", "popularity (sampled)"]
    assert (found.negatives, found.requests) == (10, len(_dataset(10).test_requests))
    assert found.rows[0].measures.keys() >= {"ndcg@1", "recall@5", "hit_rate@20"}
    assert found.rows[0].measures == found.rows[1].measures  # they met the same items


def test_few_negatives_are_easy_and_all_of_them_are_the_whole_catalogue():
    few, all_of_them = (sampled(_dataset(n), {"x": _by_hash}).rows[0].measures["recall@5"].mean for n in (10, 1000))
    dataset = _dataset(10)
    requests, eligible = dataset.test_requests, dataset.eligible(dataset.cuts.test)
    full = at_depths(rank(_by_hash, requests, 5, eligible), requests.targets, [5])["recall@5"].mean()
    assert all_of_them == pytest.approx(full)
    assert few > full + 0.1


def test_it_is_read_back_and_absent_where_nothing_was_sampled(tmp_path):
    found = sampled(_dataset(10), {"x": _by_hash})
    assert load_sampled(tmp_path) is None
    save_sampled(found, tmp_path)
    assert load_sampled(tmp_path) == found

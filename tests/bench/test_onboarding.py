"""What the benchmark of newcomers makes of blocks of requests."""

import numpy as np

from pipelines.tables import Candidates
from tests import world
from tests.bench import onboarding
from tests.bench.onboarding import _Cohort, _first, _Judge


def _backwards(scorer, requests, k, eligible, filter_seen):
    """The best k, from blocks of requests that arrive last first."""
    found = np.zeros((len(requests), k), np.int32)
    for start in reversed(range(0, len(requests), 7)):
        rows = np.arange(start, min(start + 7, len(requests)))
        scores = np.where(eligible, scorer(requests.take(rows)), -np.inf)
        found[rows] = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return Candidates(found, np.zeros(found.shape, np.float32), "backwards")


def test_each_ones_own_first_item_is_left_out_in_whatever_order_blocks_arrive(monkeypatch):
    data = world.dataset(world.config(), world.log())
    cohort = _Cohort.of(data, forgetting=True)
    assert len(cohort.requests) > 20
    # all want their first item most, and else what it is alike to
    of_items = (np.arange(data.n_items) % world.BLOCKS)[:, None]
    level = _first(lambda part: np.zeros((len(part), data.n_items)), of_items, cohort)
    judge = _Judge(data, cohort)
    forwards = judge.scored(level)
    monkeypatch.setattr(onboarding, "rank", _backwards)
    for metric, values in judge.scored(level).items():
        np.testing.assert_array_equal(values, forwards[metric])
    assert forwards["recall@20"].mean() > 0.9  # blocks hold 25 items


def test_requests_of_which_no_first_item_is_known_keep_what_they_say():
    data = world.dataset(world.config(), world.log())
    requests = data.test_requests
    cohort = _Cohort.numbered(requests, np.full(len(requests), -1))
    some = cohort.requests.take(np.array([3, 1]))
    assert cohort.first_of(some).tolist() == [-1, -1]
    assert all(np.array_equal(some.context[name], requests.context[name][[3, 1]]) for name in requests.context)
    found = _Judge(data, cohort).scored(lambda part: np.zeros((len(part), data.n_items)))
    assert all(len(values) == len(requests) for values in found.values())

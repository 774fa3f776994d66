"""Ceilings: by hand, and never below what was really shown."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.evaluation.ceilings import METRICS, ceilings, load_ceilings, oracle, save_ceilings
from pipelines.evaluation.funnel import Stages
from pipelines.tables import Ragged
from tests.pipelines.evaluation.worlds import ITEMS, random_dataset, random_stages

TARGETS = Ragged(np.array([0, 3, 4]), np.array([5, 6, 7, 1]))
STAGES = Stages(
    exact=np.array([[0, 5, 6, 2], [1, 2, 3, 4]]),
    retrieved=np.array([[0, 2, 3, 5], [2, 3, 4, 0]]),
    ranked=np.array([[2, 5, 0, 3], [2, 3, 4, 0]]),
    shown=np.array([[2, 0], [2, 3]]),
)
SECOND = 1 / np.log2(3)  # the gain of a hit in second place
BEST = 1 + SECOND  # of the ideal list of two


def _means(found, metric):
    return {row.name: row.measures[metric].mean for row in found.rows}


def test_by_hand():
    found = ceilings(STAGES, TARGETS, 2)
    assert _means(found, "ndcg@2") == pytest.approx(
        {
            "perfect ranking of the catalogue": 1,
            "perfect ranking of the exact best": 1,  # 5 and 6 of the first request, 1 of the second
            "perfect ranking of the retrieved": 1 / BEST / 2,  # 5 alone
            "towers": 0,
            "towers + ranker": SECOND / BEST / 2,
            "final list": 0,
        }
    )
    # two of three targets are all that a list of two can hold
    assert _means(found, "recall@2")["perfect ranking of the catalogue"] == pytest.approx((2 / 3 + 1) / 2)
    assert _means(found, "capped_recall@2")["perfect ranking of the catalogue"] == 1
    assert [row.perfect for row in found.rows] == [True, True, True, False, False, False]


def test_an_oracle_puts_the_targets_first_in_the_order_given():
    assert oracle(np.array([[0, 5, 2, 6, -1]]), TARGETS.take(np.array([0])), 4).tolist() == [[5, 6, 0, 2]]


def test_they_are_read_back_as_they_were(tmp_path):
    found = ceilings(STAGES, TARGETS, 2)
    save_ceilings(found, tmp_path)
    assert load_ceilings(tmp_path) == found


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), list_k=st.integers(1, 5))
def test_perfect_ranking_is_never_below_what_was_ranked(seed, list_k):
    rng = np.random.default_rng(seed)
    requests = random_dataset(rng).test_requests
    found = ceilings(random_stages(rng, requests, 6, list_k), requests.targets, list_k)
    for metric in METRICS:
        means = _means(found, f"{metric}@{list_k}")
        retrieved = means["perfect ranking of the retrieved"]
        assert means["perfect ranking of the catalogue"] >= retrieved - 1e-12
        assert retrieved >= max(means["towers"], means["towers + ranker"], means["final list"]) - 1e-12
    assert _means(found, f"ndcg@{list_k}")["perfect ranking of the catalogue"] == pytest.approx(1)


def test_of_everything_in_any_order_the_oracle_makes_the_ideal_list():
    everything = np.stack([np.random.default_rng(row).permutation(ITEMS) for row in range(2)])
    stages = Stages(everything, everything, everything, everything[:, :3])
    assert _means(ceilings(stages, TARGETS, 3), "ndcg@3")["perfect ranking of the retrieved"] == pytest.approx(1)

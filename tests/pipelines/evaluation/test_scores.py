"""Spreads of scores: counts and AUC by hand and against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pipelines.evaluation.scores import ScoreSpreads, auc_by_request, load_spreads, save_spreads, spread
from pipelines.tables import Candidates, Ragged

TARGETS = Ragged(np.array([0, 2, 3, 4]), np.array([0, 9, 4, 7]))
CANDIDATES = Candidates(
    np.array([[0, 1, 2], [4, 5, -1], [1, 2, 3]], np.int32),
    np.array([[3.0, 5.0, 1.0], [2.0, 2.0, -np.inf], [4.0, 0.0, 2.0]], np.float32),
    "towers",
)


def test_by_hand():
    found = spread("towers", CANDIDATES, TARGETS)
    assert (found.edges[0], found.edges[-1], len(found.targets)) == (0.0, 5.0, 40)
    assert (sum(found.targets), sum(found.others)) == (2, 6)  # item 9 and 7 were not retrieved, and -1 is no item
    bins = dict.fromkeys(np.searchsorted(found.edges, [3.0, 2.0], side="right") - 1, 1)
    assert {place: count for place, count in enumerate(found.targets) if count} == bins
    # the first request: 3 is above 1 and below 5; the second: a tie; the third has no target
    assert (found.auc.mean, found.auc.n) == (0.5, 2)


def test_the_auc_is_that_of_scikit_learn():
    rng = np.random.default_rng(1)
    scores = rng.integers(0, 12, (50, 20)).astype(float)  # with ties
    positive = rng.random(scores.shape) < 0.3
    used = rng.random(scores.shape) < 0.8
    found = auc_by_request(scores, positive & used, ~positive & used)
    for row in range(50):
        truth = positive[row, used[row]]
        expected = roc_auc_score(truth, scores[row, used[row]]) if 0 < truth.sum() < len(truth) else np.nan
        assert found[row] == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("items", [[[-1, -1]], [[3, 5]]])
def test_scores_that_do_not_spread_have_a_bin_all_the_same(items):
    candidates = Candidates(np.array(items, np.int32), np.full((1, 2), 2.5, np.float32), "ranker")
    found = spread("ranker", candidates, Ragged(np.array([0, 1]), np.array([3])))
    assert sum(found.targets) + sum(found.others) == sum(item >= 0 for item in items[0])
    assert len(found.edges) == 41
    assert np.all(np.diff(found.edges) > 0)


def test_they_are_read_back_as_they_were(tmp_path):
    found = ScoreSpreads(3, (spread("towers", CANDIDATES, TARGETS),))
    save_spreads(found, tmp_path)
    assert load_spreads(tmp_path) == found

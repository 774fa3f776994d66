"""Fitting the ranker: it learns what retrieval does not know, the best is kept, and none that diverged is."""

import numpy as np
import pytest

from configs.errors import DivergedError
from pipelines.fit_ranker import _loss, fit_ranker
from pipelines.lists import Lists
from pipelines.progress import Progress
from pipelines.rank import _apart, new_ranker
from pipelines.report.curves import curves
from pipelines.tables import Candidates
from tests import world

QUIET = Progress(quiet=True)
K = 20


def _case(changes, order):
    """A ranker, and requests whose candidates hold what is taken, put in an order by (its rows, items, targets)."""
    data = world.dataset(world.config(changes), world.log())
    requests, rng = data.validation_requests, np.random.default_rng(0)
    items = np.zeros((len(requests), K), np.int32)
    for row in range(len(requests)):
        taken = requests.targets.values[requests.targets.rows == row][:K]
        others = rng.permutation(np.setdiff1d(np.arange(world.ITEMS), taken))[: K - len(taken)]
        items[row] = order(rng, taken, others)
    scores = np.tile(np.linspace(1, 0, K, dtype=np.float32), (len(items), 1))
    trend = np.zeros((world.ITEMS, data.trend.columns), np.float32)
    return new_ranker(data, world.encoded(data)), Lists(requests, Candidates(items, scores, "test"), trend)


def _shuffled(rng, taken, others):
    return rng.permutation(np.concatenate([taken, others]))


def _taken_first(rng, taken, others):
    return np.concatenate([taken, others])


def _weights(scorer):
    return [variable.numpy().copy() for variable in scorer.ranker.trainable_variables]


def test_it_learns_the_block_of_every_query_where_retrieval_knows_nothing(tmp_path):
    scorer, lists = _case({"ranker.max_epochs": 30, "ranker.patience": 30, "ranker.learning_rate": 0.01}, _shuffled)
    best = fit_ranker(scorer, *_apart(lists), tmp_path, QUIET)
    assert best["epoch"] > 0
    assert best["ndcg"] > best["retrieval_ndcg"] + 0.2


def test_what_is_kept_is_the_average_of_the_epoch_with_the_least_loss(tmp_path):
    """Its loss is that of the averaged weights, and no other epoch has less."""
    scorer, lists = _case({"ranker.max_epochs": 6, "ranker.patience": 6, "ranker.learning_rate": 0.05}, _shuffled)
    best = fit_ranker(scorer, *_apart(lists), tmp_path, QUIET)
    ahead = curves(tmp_path / "tensorboard")["ranker/check_loss"]
    assert best["epoch"] == 1 + int(np.argmin([value for _, value in ahead]))
    assert _loss(scorer, _apart(lists)[1]) == pytest.approx(min(value for _, value in ahead), rel=1e-5)


def test_where_no_epoch_betters_retrieval_its_order_is_kept(tmp_path):
    scorer, lists = _case({"ranker.max_epochs": 2}, _taken_first)
    before = _weights(scorer)
    best = fit_ranker(scorer, *_apart(lists), tmp_path, QUIET)
    assert (best["epoch"], best["ndcg"], best["retrieval_ndcg"]) == (0, 1, 1)
    assert all(np.array_equal(a, b) for a, b in zip(before, _weights(scorer), strict=True))


@pytest.mark.parametrize(
    ("batch", "said"), [(1, "the loss is no number any more at step [23] of epoch 1"), (1000, "weights .* epoch 1")]
)
def test_one_that_leaps_out_of_the_numbers_says_so_and_is_not_kept(batch, said, tmp_path):
    scorer, lists = _case({"ranker.learning_rate": 1e39, "ranker.batch": batch}, _shuffled)
    with pytest.raises(DivergedError, match=rf"^rank: {said}, .*; lower ranker\.learning_rate$"):
        fit_ranker(scorer, *_apart(lists), tmp_path, QUIET)

"""Fitting the ranker: it learns what retrieval does not know, the best is kept, and none that diverged is."""

import numpy as np
import pytest

from configs.errors import DivergedError
from pipelines import fit_ranker as fitting
from pipelines.fit_ranker import _Epoch, _judge_of, fit_ranker
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


def _curve(folder, name):
    return [value for _, value in curves(folder / "tensorboard")[f"ranker/{name}"]]


def test_what_is_judged_and_kept_is_the_moving_average(tmp_path):
    judged, trained = [], []
    for average in (0.0, 0.9):
        steps = {"ranker.max_epochs": 1, "ranker.batch": 8, "ranker.learning_rate": 0.05, "ranker.average": average}
        scorer, lists = _case(steps, _shuffled)
        learned, check = _apart(lists)
        folder = tmp_path / str(average)
        assert fit_ranker(scorer, learned, check, folder, QUIET)["epoch"] == 1
        assert _judge_of(scorer, check)(1).loss == pytest.approx(_curve(folder, "check_loss")[0], rel=1e-5)
        judged += _curve(folder, "check_loss")
        trained += _curve(folder, "loss")
    assert trained[0] == pytest.approx(trained[1])  # the weights themselves go the same way
    assert judged[0] != pytest.approx(judged[1], rel=1e-3)


@pytest.mark.parametrize(
    ("losses", "ndcgs", "epochs", "kept"),
    [
        ([9, 3, 2, 4, 5, 1], [0.2, 0.3, 0.3, 0.4, 0.4, 0.4], 4, 2),  # the least loss, not the best lists; patience 2
        ([9, 3, 2, 4, 5, 1], [0.2, 0.3, 0.2, 0.4, 0.4, 0.4], 4, 0),  # the least loss lists no better than retrieval
        ([1, 3, 4, 5], [0.2, 0.3, 0.3, 0.3], 3, 1),  # that of retrieval is on another scale
    ],
)
def test_the_least_loss_says_which_epoch_and_the_lists_whether_any(losses, ndcgs, epochs, kept, tmp_path, monkeypatch):
    scorer, lists = _case({"ranker.max_epochs": 5}, _shuffled)
    weights = []

    def scripted(scorer, check):
        def judge(number):
            weights.append(_weights(scorer))
            return _Epoch(number, losses[number], ndcgs[number], weights[-1])

        return judge

    monkeypatch.setattr(fitting, "_judge_of", scripted)
    best = fit_ranker(scorer, *_apart(lists), tmp_path, QUIET)
    assert best == {"epoch": kept, "ndcg": ndcgs[kept], "retrieval_ndcg": 0.2}
    assert len(weights) == 1 + epochs
    assert all(np.array_equal(a, b) for a, b in zip(weights[kept], _weights(scorer), strict=True))


def test_with_nobody_to_choose_by_retrievals_order_is_kept(tmp_path):
    scorer, lists = _case({}, _shuffled)
    best = fit_ranker(scorer, lists, lists.take(np.zeros(0, int)), tmp_path, QUIET)
    assert best == {"epoch": 0, "ndcg": 0, "retrieval_ndcg": 0}


def test_where_no_epoch_betters_retrieval_its_order_is_kept(tmp_path):
    scorer, lists = _case({"ranker.max_epochs": 2}, _taken_first)
    before = _weights(scorer)
    best = fit_ranker(scorer, *_apart(lists), tmp_path, QUIET)
    assert (best["epoch"], best["ndcg"], best["retrieval_ndcg"]) == (0, 1, 1)
    assert all(np.array_equal(a, b) for a, b in zip(before, _weights(scorer), strict=True))


@pytest.mark.parametrize(
    ("rate", "batch", "said"),
    [
        (1e39, 1, "the loss is no number any more at step [23] of epoch 1"),
        (1e39, 1000, "weights are no numbers any more after epoch 1"),
        (1e38, 1000, "scores are no numbers any more after epoch 1"),
    ],
)
def test_one_that_leaps_out_of_the_numbers_says_so(rate, batch, said, tmp_path):
    leap = {"ranker.learning_rate": rate, "ranker.batch": batch, "ranker.average": 0.0, "ranker.max_epochs": 1}
    scorer, lists = _case(leap, _shuffled)
    with pytest.raises(DivergedError, match=rf"^rank: {said}, .*; lower ranker\.learning_rate$"):
        fit_ranker(scorer, *_apart(lists), tmp_path, QUIET)

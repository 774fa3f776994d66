import warnings

import numpy as np
import pytest

from pipelines.baselines.factors import ALS, BPR
from tests.pipelines.baselines.worlds import NOW, checkerboard, requests

SIZE = 12


@pytest.fixture(scope="module")
def world():
    return checkerboard(SIZE)


def test_als_treats_an_unknown_query_like_a_known_one_with_the_same_history(world):
    past, _ = world
    als = ALS(factors=2, iterations=50)
    als.fit(past, SIZE, SIZE, NOW)
    history = past.item[past.query == 4].tolist()
    known, unknown = als.scores(requests([(4, history), (-1, history)]))
    assert known == pytest.approx(unknown, abs=0.02)


def test_als_confidence_of_a_pair_is_alpha_times_its_weight(world):
    past, asked = world
    doubled, plain = ALS(factors=2, alpha=2.0), ALS(factors=2)
    doubled.fit(past, SIZE, SIZE, NOW)
    past.weight[:], weight = 2.0, past.weight.copy()
    plain.fit(past, SIZE, SIZE, NOW)
    past.weight[:] = weight
    np.testing.assert_allclose(doubled.scores(asked)[:SIZE], plain.scores(asked)[:SIZE], rtol=1e-5)


def test_als_with_weights_of_one_is_a_regularised_svd(world):
    past, asked = world
    als = ALS(factors=2, iterations=100, regularization=1e-4)
    als.fit(past, SIZE, SIZE, NOW)
    taken = np.zeros((SIZE, SIZE))
    taken[past.query, past.item] = 1
    left, values, right = np.linalg.svd(taken)
    truncated = left[:, :2] * values[:2] @ right[:2]
    np.testing.assert_allclose(als.scores(asked)[:SIZE], truncated, atol=1e-3)


def test_als_is_the_same_on_any_number_of_threads(world):
    past, asked = world
    one, two = ALS(factors=4, threads=1), ALS(factors=4, threads=2)
    one.fit(past, SIZE, SIZE, NOW)
    two.fit(past, SIZE, SIZE, NOW)
    np.testing.assert_array_equal(one.scores(asked), two.scores(asked))


def test_bpr_reads_an_unknown_query_from_its_history(world):
    past, _ = world
    bpr = BPR(factors=4)
    bpr.fit(past, SIZE, SIZE, NOW)
    items = bpr.model.item_factors
    vector = items[[1, 5]].mean(axis=0)
    vector[-1] = 1
    assert bpr.scores(requests([(-1, [1, 5, 1])]))[0] == pytest.approx(items @ vector, abs=1e-6)


def test_the_seed_decides(world):
    past, asked = world
    scores = []
    for seed in (1, 1, 2):
        bpr = BPR(factors=4, iterations=5, seed=seed)
        bpr.fit(past, SIZE, SIZE, NOW)
        scores.append(bpr.scores(asked))
    assert (scores[0] == scores[1]).all()
    assert (scores[0] != scores[2]).any()


def test_fits_in_silence(world, capfd, monkeypatch):
    monkeypatch.setattr("implicit.utils._checked_blas_config", False)  # it warns once in a process
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for baseline in (ALS(factors=2, iterations=2), BPR(factors=2, iterations=2)):
            baseline.fit(world[0], SIZE, SIZE, NOW)
    assert capfd.readouterr() == ("", "")

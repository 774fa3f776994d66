import dataclasses

import numpy as np
import pytest
import surprise

from pipelines.baselines.explicit import (
    RatingBiases,
    RatingErrors,
    RatingNeighbours,
    Ratings,
    RatingSVD,
    predictions,
)
from pipelines.tables import Interactions, Ragged, Requests
from tests.pipelines.baselines.worlds import NOW, events, requests

NAN = float("nan")


def rated(rows: list[tuple[int, int, int, float]]) -> tuple[Interactions, Ratings]:
    """A log from (query, item, time, rating), and its ratings."""
    rows = sorted(rows, key=lambda row: row[2])
    log = events([row[:3] for row in rows])
    return log, Ratings.of(log, np.array([row[3] for row in rows], np.float32))


def asking(asked: list[tuple[int, list[int]]], targets: list[list[int]], time: int = NOW) -> Requests:
    row = np.repeat(np.arange(len(targets)), [len(items) for items in targets])
    items = np.array([item for row in targets for item in row], np.int32)
    made = dataclasses.replace(requests(asked), targets=Ragged.from_rows(row, items, len(targets)))
    return dataclasses.replace(made, time=np.full(len(asked), time, np.int64))


@pytest.fixture(scope="module")
def world() -> tuple[Interactions, Ratings]:
    """30 queries rate 12 of 20 items, by taste and item, with some noise."""
    rng = np.random.default_rng(5)
    taste, kind, level = rng.normal(size=(30, 2)), rng.normal(size=(20, 2)), rng.normal(size=20)
    rows = [
        (
            query,
            int(item),
            int(rng.integers(0, NOW)),
            float(np.clip(round(3 + level[item] + taste[query] @ kind[item]), 1, 5)),
        )
        for query in range(29)  # the last one rates nothing
        for item in rng.permutation(19)[:12]  # and no one rates the last item
    ]
    return rated(rows)


def test_given_is_the_last_rating_of_each_pair_within_the_events():
    log, ratings = rated([(0, 1, 10, 3), (0, 1, 20, 5), (0, 2, 30, NAN), (1, 1, 40, 2), (0, 1, 50, 1)])
    found = ratings.given(log.before(50))
    assert found.values.tolist() == [[0, 1, 5], [1, 1, 2]]


def test_to_come_is_the_first_rating_from_the_request_on():
    _, ratings = rated([(0, 1, 10, 3), (0, 1, 60, 4), (0, 1, 70, 5), (0, 2, 80, NAN), (1, 1, 50, 2), (0, 3, 49, 1)])
    asked = asking([(0, []), (1, [])], [[3, 2, 1], [1, 2]], time=50)
    np.testing.assert_array_equal(ratings.to_come(asked), np.array([NAN, NAN, 4, 2, NAN], np.float32))


def test_errors_by_hand():
    errors = RatingErrors.of(np.array([3, 4, 1, 2], np.float32), np.array([5, 4, NAN, 1], np.float32))
    assert errors == RatingErrors(rmse=pytest.approx((5 / 3) ** 0.5), mae=pytest.approx(1), pairs=3)
    assert RatingErrors.of(np.ones(2), np.full(2, NAN)) == RatingErrors(None, None, 0)


@pytest.mark.parametrize(
    ("make", "theirs"),
    [
        (RatingBiases, lambda: surprise.BaselineOnly(verbose=False)),
        (
            lambda ratings: RatingSVD(ratings, factors=5, epochs=10, seed=3),
            lambda: surprise.SVD(n_factors=5, n_epochs=10, random_state=3),
        ),
        (
            lambda ratings: RatingNeighbours(ratings, neighbours=4, shrinkage=10),
            lambda: surprise.KNNBaseline(
                4, sim_options={"name": "pearson_baseline", "user_based": False, "shrinkage": 10}, verbose=False
            ),
        ),
        (
            lambda ratings: RatingNeighbours(ratings, neighbours=100),
            lambda: surprise.KNNBaseline(
                100, sim_options={"name": "pearson_baseline", "user_based": False}, verbose=False
            ),
        ),
    ],
)
def test_the_whole_catalogue_is_what_surprise_predicts_pair_by_pair(world, make, theirs):
    log, ratings = world
    now = 700
    ours = make(ratings)
    ours.fit(log, 30, 20, now)
    reader = surprise.Reader(rating_scale=(1, 5))
    training = surprise.Dataset.load_from_df(ratings.given(log.before(now)), reader).build_full_trainset()
    model = theirs().fit(training)
    expected = [[model.predict(query, item, clip=False).est for item in range(20)] for query in range(30)]
    scores = ours.scores(requests([(query, []) for query in range(30)]))
    assert scores == pytest.approx(np.array(expected), abs=1e-4)
    assert ours.scores(requests([(-1, []), (99, [1])])) == pytest.approx(np.array([expected[29]] * 2), abs=1e-4)


def test_biases_of_one_rating_each_by_hand():
    # Mean 3. Surprise shrinks an item's bias by 10 and a query's by 15 and alternates: b_i = (5 - 3 - b_u) / (10 + 1),
    # b_u = (5 - 3 - b_i) / (15 + 1). Ten rounds come close to what solves both.
    log, ratings = rated([(0, 0, 1, 5), (1, 1, 2, 1)])
    biases = RatingBiases(ratings)
    biases.fit(log, 2, 3, NOW)
    item, query = np.linalg.solve([[11, 1], [1, 16]], [2, 2])
    found = biases.scores(requests([(0, []), (1, []), (-1, [])]))
    expected = [[3 + query + item, 3 + query - item, 3 + query], [3 - query + item, 3 - query - item, 3 - query]]
    assert found == pytest.approx(np.array([*expected, [3 + item, 3 - item, 3]]), abs=1e-3)


def test_predictions_are_those_of_the_targets_within_the_scale():
    log, ratings = rated([(query, item, 1, 5 if item == 0 else 1) for query in range(40) for item in (0, 1)])
    biases = RatingBiases(ratings)
    biases.fit(log, 40, 3, NOW)
    biases.item_bias[0] = 9
    found = predictions(biases, asking([(0, []), (1, []), (2, [])], [[1, 0], [], [2]]))
    assert found == pytest.approx([biases.scores(requests([(0, [])]))[0, 1], 5, 3], abs=0.05)


def test_best_rmse_is_not_best_ndcg():
    # Everyone's favourite is rated 4 by all; a film of one fan has a 5. The best predictor of ratings ranks the fan's
    # film first, and what people take is the favourite.
    rows = (
        [(query, 0, query, 4.0) for query in range(20)] + [(0, 1, 30, 5.0)] + [(q, 2, 40 + q, 1.0) for q in range(10)]
    )
    rows += [(20 + query, 0, 1, 4.0) for query in range(60)]
    log, ratings = rated([*rows, (1, 1, 2, 5.0), (2, 1, 3, 5.0), *[(q, 1, 60 + q, 5.0) for q in range(3, 20)]])
    model = RatingBiases(ratings)
    model.fit(log, 81, 3, NOW)
    asked = asking([(-1, [])], [[0]])
    off = RatingErrors.of(predictions(model, asked), np.array([4], np.float32)).rmse
    constant = RatingErrors.of(np.array([model.mean], np.float32), np.array([4], np.float32)).rmse
    assert off < constant  # a better predictor than the mean,
    assert model.scores(asked)[0].argmax() == 1  # and a worse list than popularity's, which item 0 leads
    assert np.bincount(log.item).argmax() == 0

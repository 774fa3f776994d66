"""The ranker starts as retrieval's order; its loss and relevance by hand; its item side is precomputable."""

import numpy as np
import pytest

from pipelines.lists import Lists, RankScorer, ranked
from pipelines.tables import Candidates
from pipelines.vectors import request_inputs
from tests import world
from towers.backend import keras, tf
from towers.losses import MASKED
from towers.ranker import Ranker, listwise_loss, relevance, standardise

K = 6


@pytest.fixture(scope="module")
def data():
    return world.dataset(world.config(), world.log())


@pytest.fixture(scope="module")
def encoded(data):
    return world.encoded(data)


@pytest.fixture
def scorer(data, encoded):
    keras.utils.set_random_seed(0)
    return RankScorer(data.config, Ranker(data.config, encoded.fitted), encoded)


@pytest.fixture(scope="module")
def lists(data):
    """Lists with distinct scores, of which two are short."""
    rng = np.random.default_rng(0)
    requests = data.test_requests
    items = np.array([rng.permutation(world.ITEMS)[:K] for _ in range(len(requests))], np.int32)
    scores = -np.sort(-rng.normal(size=items.shape), axis=1).astype(np.float32)
    items[0, 2:], scores[0, 2:] = -1, -np.inf
    items[1, :], scores[1, :] = -1, -np.inf
    trend = rng.normal(size=(world.ITEMS, data.trend.columns)).astype(np.float32)
    return Lists(requests, Candidates(items, scores, "test"), trend)


def _disturb(ranker):
    rng = np.random.default_rng(1)
    for variable in ranker.trainable_variables:
        variable.assign_add(rng.normal(scale=0.3, size=variable.shape))


def test_unfitted_it_keeps_retrievals_order(scorer, lists):
    found = ranked(lists.candidates, scorer.score(lists))
    np.testing.assert_array_equal(found.items, lists.candidates.items)


def test_fitted_it_may_choose_another_but_what_is_masked_stays_last(scorer, lists):
    scorer.score(lists)
    _disturb(scorer.ranker)
    scores = scorer.score(lists)
    found = ranked(lists.candidates, scores)
    assert (found.items != lists.candidates.items).any()
    assert (found.items[0, :2] >= 0).all()
    assert (found.items[0, 2:] == -1).all()
    assert np.isfinite(scores).all()


def test_a_precomputed_item_side_gives_the_scores_computed_in_place(scorer, lists):
    scorer.score(lists)
    _disturb(scorer.ranker)
    side = scorer.item_side()
    batch = {key: tf.constant(value) for key, value in scorer.inputs(lists).items()}
    assert (batch["item"].numpy() == request_inputs(lists.requests, 6)["item"]).all()
    served = scorer.ranker.score(
        batch, tf.gather(side, batch["item"]), tf.gather(side, batch["candidates"]), batch["trend"], batch["retrieval"]
    )
    np.testing.assert_allclose(scorer.score(lists), served, rtol=1e-4, atol=1e-5)


def test_what_an_item_is_is_read_of_its_content_and_of_its_id_where_there_is_nothing_else(data, encoded):
    one = {name: column[:1] for name, column in encoded.items.items()}
    renamed = one | {"item_id": one["item_id"] + 1}

    def renaming_changes(config) -> bool:
        ranker = Ranker(config, encoded.fitted)
        return bool((ranker.item_vectors(one).numpy() != ranker.item_vectors(renamed).numpy()).any())

    assert not renaming_changes(data.config)
    features = data.config.model_dump()["features"]
    bare = [feature for feature in features if feature["table"] != "items" or feature["name"] == "item_id"]
    assert renaming_changes(world.config({"features": bare}))


def test_shifting_and_stretching_retrievals_scores_changes_nothing(scorer, lists):
    scorer.score(lists)
    _disturb(scorer.ranker)
    other = Candidates(lists.candidates.items, 5 * lists.candidates.scores + 100, "test")
    scores = scorer.score(Lists(lists.requests, other, lists.trend))
    np.testing.assert_allclose(scores, scorer.score(lists), atol=1e-3)


def test_scores_are_standardised_within_the_list_and_without_the_masked():
    scores = tf.constant([[3.0, 1.0, MASKED], [5.0, 5.0, 5.0], [MASKED, MASKED, MASKED], [7.0, MASKED, MASKED]])
    np.testing.assert_allclose(standardise(scores), [[1, -1, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]], atol=1e-6)


def test_the_listwise_loss_by_hand():
    scores = tf.math.log([[1.0, 2.0, 5.0], [1.0, 1.0, 2.0], [4.0, 4.0, 1.0]])
    relevant = tf.constant([[0.0, 1, 0], [1, 0, 1], [0, 0, 0]])
    # shares 1/4; 1/4 and 1/2; nothing relevant in the last list
    expected = (np.log(4) + (np.log(4) + np.log(2)) / 2) / 2
    assert float(listwise_loss(scores, relevant)) == pytest.approx(expected, rel=1e-5)


def test_masked_candidates_take_no_share_of_the_loss():
    scores = tf.constant([[0.0, 0.0, MASKED]])
    assert float(listwise_loss(scores, tf.constant([[1.0, 0, 0]]))) == pytest.approx(np.log(2), rel=1e-5)


def test_no_relevant_candidate_at_all_is_a_loss_of_zero():
    assert float(listwise_loss(tf.constant([[1.0, 2.0]]), tf.zeros([1, 2]))) == 0


def test_relevance_by_hand():
    candidates = np.array([[4, 0, -1], [4, 1, -1]], np.int32)
    # row 0 took 4 and 3; row 1 took 1 and 9; item 9 of ten in row 0 has the number before row 1's first
    found = relevance(candidates, np.array([0, 0, 1, 1, 0]), np.array([4, 3, 1, 9, 9]), items=10)
    np.testing.assert_array_equal(found, [[1, 0, 0], [0, 1, 0]])

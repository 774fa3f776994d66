"""What histories read of items: their content, or their ids."""

import numpy as np
import pytest

from tests import world
from towers.backend import tf
from towers.lookup import FIRST_KNOWN, UNKNOWN
from towers.retrieval import TwoTower

ROWS = tf.constant([[4, 9], [11, 4]])


def _model(items: str) -> TwoTower:
    config = world.config({"towers.history": {"items": items, "length": 6, "encoder": "mean"}})
    encoded = world.encoded(world.dataset(config, world.log()))
    return TwoTower(config, encoded.fitted, encoded.items, 4)


@pytest.fixture(scope="module")
def by_id() -> TwoTower:
    return _model("id")


def test_content_is_what_the_item_tower_says():
    model = _model("tower")
    vectors = tf.gather(model.item_vectors(), ROWS)
    np.testing.assert_array_equal(model.history_tokens(ROWS, vectors), vectors[..., :-1])
    assert model.read_ids is None


def test_ids_have_a_row_each_whatever_the_tower_says(by_id):
    vectors = tf.gather(by_id.item_vectors(), ROWS)
    tokens = by_id.history_tokens(ROWS, vectors).numpy()
    np.testing.assert_array_equal(tokens, by_id.history_tokens(ROWS, -vectors))
    np.testing.assert_array_equal(tokens, by_id.read_ids.table.embeddings.numpy()[ROWS.numpy() + FIRST_KNOWN])
    assert np.abs(tokens[0, 0] - tokens[0, 1]).max() > 1e-3
    np.testing.assert_array_equal(tokens[0, 0], tokens[1, 1])


def test_items_that_the_fitted_log_hardly_holds_share_a_row(by_id):
    counts, features = np.full(world.ITEMS, 9), ({"item_id": np.full(152, 9)}, {"user_id": np.full(62, 9)})
    counts[[4, 11]] = 0, 1
    by_id.history_tokens(ROWS, tf.zeros([2, 2, 9]))
    by_id.set_known(*features, counts)
    table = by_id.read_ids.table.embeddings
    table[UNKNOWN].assign(tf.ones([8]))
    tokens = by_id.history_tokens(ROWS, tf.zeros([2, 2, 9])).numpy()
    assert (tokens[[0, 1, 1], [0, 0, 1]] == 1).all()
    assert (tokens[0, 1] != 1).any()
    by_id.set_known(*features, np.full(world.ITEMS, 9))  # a refit knows them, and goes on from the shared row
    np.testing.assert_array_equal(by_id.history_tokens(ROWS, tf.zeros([2, 2, 9]))[0, 0], np.ones(8))

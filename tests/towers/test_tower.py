"""The layout of both towers' vectors."""

import numpy as np
import pytest

from configs.errors import ConfigError
from tests import world
from towers.backend import tf
from towers.dropout import Randomness
from towers.tower import ItemTower, QueryTower

ROWS, LENGTH, WIDTH, TRENDS = 3, 6, 8, 4


def _query_tower(**changes):
    config = world.config({f"towers.{key}": value for key, value in changes.items()})
    return QueryTower(config.towers, (), (), {}, TRENDS, Randomness(0))


def _inputs():
    rng = np.random.default_rng(0)
    item_time = np.sort(rng.integers(0, 10**6, (ROWS, LENGTH)), axis=1)
    return [
        tf.constant(rng.normal(size=(ROWS, LENGTH, WIDTH)).astype(np.float32)),
        tf.ones([ROWS, LENGTH], tf.bool),
        tf.constant(item_time),
        tf.constant(np.concatenate([item_time, np.full((ROWS, 1), 2 * 10**6)], axis=1)),
        {},
        {},
    ]


def test_a_query_vector_is_wish_one_and_trend_weights():
    vectors = _query_tower(temperature=0.05)(*_inputs()).numpy()
    assert vectors.shape == (ROWS, LENGTH + 1, WIDTH + 1 + TRENDS)
    np.testing.assert_allclose(np.linalg.norm(vectors[..., :WIDTH], axis=-1), 1 / 0.05, rtol=1e-4)
    np.testing.assert_array_equal(vectors[..., WIDTH], 1)
    np.testing.assert_allclose(vectors[..., WIDTH + 1 :], 0.1)


def test_the_dot_similarity_leaves_lengths_free():
    norms = np.linalg.norm(_query_tower(similarity="dot")(*_inputs()).numpy()[..., :WIDTH], axis=-1)
    assert norms.std() > 1e-3


@pytest.mark.parametrize("encoder", ["mean", "transformer"])
def test_the_last_moment_alone_is_the_last_of_all_moments(encoder):
    tower = _query_tower(history={"encoder": encoder, "length": LENGTH, "layers": 1, "heads": 2})
    every, last = tower(*_inputs()).numpy(), tower(*_inputs(), last_only=True).numpy()
    np.testing.assert_allclose(last[:, 0], every[:, -1], atol=1e-5)


def test_an_item_vector_is_content_and_bias():
    data = world.dataset(world.config(), world.log())
    encoded = world.encoded(data)
    tower = ItemTower(data.config.towers, data.config.on("items"), encoded.fitted, Randomness(0))
    vectors = tower({name: tf.constant(column) for name, column in encoded.items.items()}).numpy()
    assert vectors.shape == (world.ITEMS, WIDTH + 1)
    np.testing.assert_allclose(np.linalg.norm(vectors[:, :WIDTH], axis=1), 1, rtol=1e-5)


def test_a_width_that_the_heads_do_not_divide_is_refused():
    with pytest.raises(ConfigError, match=r"embedding_dim = 9, expected a multiple of history.heads = 2"):
        world.config({"towers.embedding_dim": 9})
    assert world.config({"towers.embedding_dim": 9, "towers.history": {"encoder": "mean"}})

"""The layout of both towers' vectors."""

import numpy as np
import pytest

from configs.errors import ConfigError
from tests import world
from towers.backend import keras, tf
from towers.cross import Crosses
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


def test_a_learned_temperature_starts_as_given_moves_and_is_kept_sane():
    tower = _query_tower(temperature=0.05, learn_temperature=True)
    inputs = _inputs()
    np.testing.assert_allclose(np.linalg.norm(tower(*inputs).numpy()[..., :WIDTH], axis=-1), 1 / 0.05, rtol=1e-4)
    assert any(variable is tower.log_temperature for variable in tower.trainable_variables)
    for sign, end in ((-1, 0.01), (1, 10)):
        optimizer = keras.optimizers.Adam(1.0)
        for _ in range(25):
            with tf.GradientTape() as tape:
                loss = sign * tf.reduce_sum(tf.abs(tower(*inputs)[..., :WIDTH]))
            optimizer.minimize(loss, [tower.log_temperature], tape=tape)
        np.testing.assert_allclose(np.exp(tower.log_temperature.numpy()), end, rtol=1e-4)
    assert _query_tower().log_temperature is None


def test_the_dot_similarity_leaves_lengths_free():
    norms = np.linalg.norm(_query_tower(similarity="dot")(*_inputs()).numpy()[..., :WIDTH], axis=-1)
    assert norms.std() > 1e-3


def test_several_vectors_differ_in_what_they_wish_alone():
    tower = _query_tower(query_vectors=3, temperature=0.05)
    vectors = tower(*_inputs()).numpy()
    assert vectors.shape == (ROWS, LENGTH + 1, 3, WIDTH + 1 + TRENDS)
    np.testing.assert_allclose(np.linalg.norm(vectors[..., :WIDTH], axis=-1), 1 / 0.05, rtol=1e-4)
    np.testing.assert_array_equal(vectors[..., WIDTH], 1)
    np.testing.assert_array_equal(vectors[..., 0, WIDTH:], vectors[..., 1, WIDTH:])
    assert np.abs(vectors[..., 0, :WIDTH] - vectors[..., 1, :WIDTH]).max(axis=-1).min() > 1e-2
    last = tower(*_inputs(), last_only=True).numpy()
    np.testing.assert_allclose(last[:, 0], vectors[:, -1], atol=1e-5)


def _featured(**changes):
    """A tower that knows users and devices, and its inputs."""
    data = world.dataset(world.config({f"towers.{key}": value for key, value in changes.items()}), world.log())
    config, fitted = data.config, world.encoded(data).fitted
    tower = QueryTower(config.towers, config.on("queries"), config.on("events")[:1], fitted, TRENDS, Randomness(0))
    static = {"user_id": tf.constant([2, 3, 4]), "region": tf.constant([2, 2, 2])}
    context = {"device": tf.constant(np.arange(ROWS * (LENGTH + 1)).reshape(ROWS, -1) % 2 + 2)}
    return tower, [*_inputs()[:4], static, context]


def test_without_a_history_encoder_a_query_is_what_its_features_say():
    tower, inputs = _featured(history={"encoder": "none", "length": LENGTH})
    vectors = tower(*inputs).numpy()
    assert vectors.shape == (ROWS, LENGTH + 1, WIDTH + 1 + TRENDS)
    np.testing.assert_allclose(vectors[0, 2:], vectors[0, :-2], atol=1e-5)  # every other moment is on the same device
    assert np.abs(vectors[0, 1] - vectors[0, 0]).max() > 1e-4
    items, mask, item_time, moment, *features = inputs
    other = tower(-items, ~mask, item_time // 3, moment, *features).numpy()
    np.testing.assert_array_equal(other, vectors)
    last = [*inputs[:5], {"device": inputs[5]["device"][:, -1:]}]
    np.testing.assert_allclose(tower(*last, last_only=True).numpy()[:, 0], vectors[:, -1], atol=1e-5)


def test_users_alone_have_one_vector_for_all_moments():
    config = world.config({"towers.history": {"encoder": "none", "length": LENGTH}})
    fitted = world.encoded(world.dataset(config, world.log())).fitted
    tower = QueryTower(config.towers, config.on("queries"), (), fitted, TRENDS, Randomness(0))
    inputs = [*_inputs()[:4], {"user_id": tf.constant([2, 3, 4]), "region": tf.constant([2, 2, 2])}, {}]
    vectors = tower(*inputs).numpy()
    assert vectors.shape == (ROWS, 1, WIDTH + 1 + TRENDS)
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-4
    np.testing.assert_array_equal(tower(*inputs, last_only=True).numpy(), vectors)


def test_no_history_and_no_features_is_refused():
    users = [feature for feature in world._VALUES["features"] if feature["table"] == "items"]
    changes = {"features": users, "data.segment": None}
    assert world.config(changes)
    with pytest.raises(ConfigError, match=r'encoder = "none" leaves nothing to know a query by: .* found none'):
        world.config(changes | {"towers.history": {"encoder": "none"}})


def test_hidden_items_are_as_good_as_padding_and_hidden_in_training_alone():
    history = {"encoder": "mean", "length": LENGTH, "item_dropout": 0.5}
    tower, inputs = _query_tower(history=history), _inputs()
    inputs[0] *= 100  # so that whatever is read shows
    still = tower(*inputs).numpy()
    np.testing.assert_array_equal(still, tower(*inputs).numpy())
    first, again = tower(*inputs, training=True).numpy(), tower(*inputs, training=True).numpy()
    np.testing.assert_array_equal(first, again)
    mask = tower.hide(inputs[1], training=True).numpy()
    assert 0.2 < mask.mean() < 0.8
    assert np.abs(first - still).max() > 1e-2
    moved = tf.where(mask[..., None], inputs[0], -inputs[0])  # what is hidden is not read
    np.testing.assert_allclose(
        tower.history(moved, tf.constant(mask), *inputs[2:4]), tower.history(inputs[0], mask, *inputs[2:4]), rtol=1e-4
    )
    np.testing.assert_allclose(tower(moved, *inputs[1:], training=True).numpy(), first, rtol=1e-4, atol=1e-4)


def test_crosses_of_inputs_are_what_the_paper_says():
    crosses, first = Crosses(2), np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    crosses(tf.constant(first))
    rng, expected = np.random.default_rng(1), first
    for weight in crosses.trainable_variables:
        weight.assign(rng.normal(size=weight.shape))
    kernels = [(w.numpy(), b.numpy()) for w, b in zip(*[iter(crosses.trainable_variables)] * 2, strict=True)]
    for kernel, bias in kernels:
        expected = first * (expected @ kernel + bias) + expected
    np.testing.assert_allclose(crosses(tf.constant(first)), expected, rtol=1e-4)


@pytest.mark.parametrize("layers", [1, 3])
def test_both_towers_cross_their_inputs_if_so_configured(layers):
    tower, inputs = _featured(top="dcn", cross_layers=layers)
    tower(*inputs)
    assert len(tower.top.crosses.trainable_variables) == 2 * layers
    config = world.config({"towers.top": "dcn", "towers.cross_layers": layers})
    data = world.dataset(config, world.log())
    encoded = world.encoded(data)
    items = ItemTower(config.towers, config.on("items"), encoded.fitted, Randomness(0))
    inputs = {name: tf.constant(column) for name, column in encoded.items.items()}
    before = items(inputs).numpy()
    items.top.crosses.trainable_variables[0].assign(items.top.crosses.trainable_variables[0] * 3)
    assert np.abs(items(inputs).numpy() - before).max() > 1e-3
    assert world.config().towers.top == "mlp"
    assert ItemTower(world.config().towers, config.on("items"), encoded.fitted, Randomness(0)).top.crosses is None


@pytest.mark.parametrize("encoder", ["mean", "gru", "transformer"])
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

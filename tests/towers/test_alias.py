"""Draws from cells against the distribution that they were made of."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from towers.alias import Alias
from towers.backend import tf


def _probabilities(alias):
    """What each item is drawn with, summed over cells of equal weight."""
    own, other = alias.own.numpy().astype(float), alias.other.numpy()
    return (own + np.bincount(other, 1 - own, len(own))) / len(own)


@settings(deadline=None)
@given(
    st.lists(st.one_of(st.just(0.0), st.floats(1e-6, 1.0)), min_size=1, max_size=40).filter(lambda w: sum(w) > 0),
    st.integers(1, 6),
)
@example([0.5, 0.5, 0.5, 0.5, 0.75, 0.75], 3)  # two light cells use up a heavy one, but for rounding
def test_cells_hold_the_distribution(weights, power):
    share = np.array(weights) ** power
    share /= share.sum()
    np.testing.assert_allclose(_probabilities(Alias.of(share)), share, atol=1e-6)


@pytest.mark.parametrize("items", [11, 22, 97, 396])
def test_equal_shares_that_rounding_leaves_a_little_light(items):
    share = np.full(items, 1 / items, np.float32)
    np.testing.assert_allclose(_probabilities(Alias.of(share)), share, rtol=1e-5)


@settings(deadline=None)
@given(
    st.integers(1, 3000),
    st.integers(0, 2**32),
    st.sampled_from([0.0, 0.01, 1.0, 5.0]),  # how far shares lie apart
    st.sampled_from([np.float32, np.float64]),
)
def test_any_shares_of_any_number_of_items_are_held(items, seed, spread, dtype):
    share = np.exp(spread * np.random.default_rng(seed).normal(size=items))
    share = (share / share.sum()).astype(dtype)
    alias = Alias.of(share)
    np.testing.assert_allclose(_probabilities(alias), share / share.sum(dtype=np.float64), rtol=1e-3, atol=1e-7 / items)
    assert ((alias.other.numpy() >= 0) & (alias.other.numpy() < items)).all()


@pytest.mark.parametrize("items", [1_000, 300_000])
def test_long_tails_are_held_exactly(items):
    share = 1 / np.arange(1.0, items + 1) ** 1.2
    share = np.random.default_rng(0).permutation(share / share.sum())
    np.testing.assert_allclose(_probabilities(Alias.of(share.astype(np.float32))), share, rtol=1e-3, atol=1e-12)


def test_a_cell_is_its_own_item_below_its_bound_and_the_other_from_there_on():
    # weights 1.8 and 0.2: cell 0 is item 0 alone, cell 1 is item 1 for a fifth
    alias = Alias.of(np.array([0.9, 0.1]))
    np.testing.assert_array_equal(
        alias.pick(tf.constant([0, 0, 1, 1]), tf.constant([0.0, 0.99, 0.19, 0.21])), [0, 0, 1, 0]
    )


def test_tables_made_while_a_function_is_traced_outlive_it():
    made = []

    @tf.function
    def draw():
        made.append(Alias.of(np.array([0.5, 0.5])))
        return made[0].pick(tf.constant([1]), tf.constant([0.0]))

    assert draw().numpy() == [1]
    assert _probabilities(made[0]).tolist() == [0.5, 0.5]

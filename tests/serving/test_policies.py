"""MMR in the graph against the greedy algorithm written out in Python."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.policies import mmr
from towers.backend import tf
from towers.losses import MASKED

NOTHING = np.float32(MASKED)


def greedy(scores: list[float], vectors: np.ndarray, relevance: float, k: int) -> list[int]:
    """One list. Real candidates first, by value; a first choice has nothing to be near to."""
    real = [i for i, score in enumerate(scores) if score > NOTHING]
    low, high = (min((scores[i] for i in real), default=0), max((scores[i] for i in real), default=0))
    chosen: list[int] = []
    while len(chosen) < k:

        def value(i: int) -> tuple[bool, float]:
            scaled = (scores[i] - low) / (high - low) if i in real and high > low else 0.0
            nearest = max([0.0, *(float(vectors[i] @ vectors[j]) for j in chosen)])
            return i in real, relevance * scaled - (1 - relevance) * nearest

        chosen.append(max((i for i in range(len(scores)) if i not in chosen), key=value))
    return chosen


def unit(rng: np.random.Generator, *shape: int) -> np.ndarray:
    vectors = rng.normal(size=shape)
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def choose(scores: np.ndarray, vectors: np.ndarray, relevance: float | np.ndarray, k: int) -> list[list[int]]:
    scores, vectors = np.asarray(scores, np.float32), np.asarray(vectors, np.float32)
    weights = np.broadcast_to(np.float32(relevance), len(scores))
    return mmr(tf.constant(scores), tf.constant(vectors), tf.constant(weights), tf.constant(k)).numpy().tolist()


@given(
    seed=st.integers(0, 2**32 - 1),
    pool=st.integers(1, 12),
    masked=st.floats(0, 1),
    relevance=st.sampled_from([0.0, 0.3, 0.7, 1.0]),
    share=st.floats(0, 1),
)
@settings(max_examples=60, deadline=None)
def test_chooses_what_the_greedy_algorithm_chooses(seed, pool, masked, relevance, share):
    rng, k = np.random.default_rng(seed), max(1, round(share * pool))
    scores = rng.normal(size=(3, pool)).astype(np.float32) * 5
    scores[rng.random(scores.shape) < masked] = NOTHING
    vectors = unit(rng, 3, pool, 4)
    real = (scores > NOTHING).sum(axis=1)
    for row, found in enumerate(choose(scores, vectors, relevance, k)):
        expected = greedy(scores[row].tolist(), vectors[row].astype(float), relevance, k)
        assert found[: real[row]] == expected[: real[row]]
        assert len(found) == k


@given(seed=st.integers(0, 2**32 - 1), pool=st.integers(1, 12), masked=st.floats(0, 1))
@settings(max_examples=30, deadline=None)
def test_a_list_of_the_whole_pool_holds_each_position_once_and_the_masked_last(seed, pool, masked):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(2, pool)).astype(np.float32)
    scores[rng.random(scores.shape) < masked] = NOTHING
    for row, found in enumerate(choose(scores, unit(rng, 2, pool, 3), 0.5, pool)):
        assert sorted(found) == list(range(pool))
        assert np.all(np.diff((scores[row] > NOTHING)[found].astype(int)) <= 0)


def test_relevance_alone_keeps_the_order_of_the_scores():
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(4, 9))
    assert choose(scores, unit(rng, 4, 9, 3), 1.0, 9) == np.argsort(-scores, axis=1).tolist()


def test_each_list_has_a_weight_of_its_own():
    rng = np.random.default_rng(4)
    scores, vectors = rng.normal(size=(4, 12)), unit(rng, 4, 12, 3)
    scores[:], vectors[:] = scores[0], vectors[0]
    weights = np.array([0.0, 0.4, 0.7, 1.0])
    found = choose(scores, vectors, weights, 8)
    assert found == [greedy(scores[0].tolist(), vectors[0].astype(float), weight, 8) for weight in weights]
    assert len({*map(tuple, found)}) == 4


def test_a_copy_of_a_chosen_item_is_pushed_back():
    vectors = [[[1, 0], [1, 0], [0, 1]]]
    assert choose([[1.0, 0.9, 0.0]], vectors, 0.9, 3) == [[0, 1, 2]]
    assert choose([[1.0, 0.9, 0.0]], vectors, 0.5, 3) == [[0, 2, 1]]


def test_without_relevance_the_farthest_follows():
    vectors = [[[1, 0], [0.8, 0.6], [0.6, 0.8], [0, 1]]]
    assert choose([[4.0, 3.0, 2.0, 1.0]], vectors, 0.0, 3)[0][:2] == [0, 3]


@pytest.mark.parametrize("scores", [[5.0, 5.0, 5.0], [NOTHING] * 3])
def test_equal_scores_and_nothing_real_keep_their_order(scores):
    assert choose([scores], np.eye(3)[None], 0.7, 3) == [[0, 1, 2]]


def test_scores_of_any_size_weigh_the_same():
    rng = np.random.default_rng(2)
    scores, vectors = rng.normal(size=(3, 8)), unit(rng, 3, 8, 3)
    assert choose(scores, vectors, 0.6, 8) == choose(scores * 1000 + 70, vectors, 0.6, 8)


def test_one_list_does_not_depend_on_the_others():
    rng = np.random.default_rng(3)
    scores, vectors = rng.normal(size=(5, 8)), unit(rng, 5, 8, 3)
    together = choose(scores, vectors, 0.4, 5)
    assert together == [choose(scores[i : i + 1], vectors[i : i + 1], 0.4, 5)[0] for i in range(5)]

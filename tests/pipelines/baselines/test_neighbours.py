import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from pipelines.baselines.neighbours import ItemNeighbours, UserNeighbours
from tests.pipelines.baselines.worlds import NOW, events, requests


def naive(taken: np.ndarray, neighbours: int, shrinkage: float) -> np.ndarray:
    """Kept similarities of a dense binary matrix [queries, items], float64 [items, items]."""
    n_items = taken.shape[1]
    kept = np.zeros((n_items, n_items))
    for item in range(n_items):
        found = []
        for other in range(n_items):
            dot = sum(row[item] * row[other] for row in taken)
            if other != item and dot:
                norms = math.sqrt(taken[:, item].sum() * taken[:, other].sum())
                found.append((-np.float32(dot / (norms + shrinkage)), other))
        for similarity, other in sorted(found)[:neighbours]:
            kept[item, other] = -similarity
    return kept


def test_similarity_by_hand():
    # Item 0 was taken by 0, 1, 2, 3; item 1 by 0, 1; item 2 by 3.
    rows = [(0, 0, 1), (1, 0, 2), (2, 0, 3), (3, 0, 4), (0, 1, 5), (1, 1, 6), (3, 2, 7)]
    knn = ItemNeighbours(neighbours=1, shrinkage=20)
    knn.fit(events(rows), 4, 3, NOW)
    close, far = 2 / (math.sqrt(8) + 20), 1 / (2 + 20)
    assert knn.similarity.toarray() == pytest.approx(np.array([[0, close, 0], [close, 0, 0], [far, 0, 0]]))
    # Item 2 is no neighbour of item 0, so a history of item 0 says nothing of it.
    found = knn.scores(requests([(0, [0]), (-1, [1, 2]), (1, [1, 1])]))
    assert found == pytest.approx(np.array([[0, close, 0], [close + far, 0, 0], [close, 0, 0]]), abs=2e-6)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=1, max_size=6),
    st.integers(1, 6),
    st.sampled_from([0.0, 1.0, 20.0]),
    st.integers(1, 7),
)
def test_equals_a_loop_over_pairs(taken, neighbours, shrinkage, block):
    matrix = np.array(taken, int)
    rows = [(int(query), int(item), 1) for query, item in np.argwhere(matrix)]
    knn = ItemNeighbours(neighbours, shrinkage, block)
    knn.fit(events(rows), len(matrix), 6, NOW)
    assert knn.similarity.toarray() == pytest.approx(naive(matrix, neighbours, shrinkage), abs=1e-6)
    assert (np.diff(knn.similarity.indptr) <= neighbours).all()


def test_users_by_hand():
    # Query 0 took items 0, 1; query 1 item 1; query 2 items 2, 3. A history of items 1, 2 has one item in common with
    # each: similarities 1 / (sqrt(2) sqrt(2) + 1), 1 / (sqrt(2) + 1) and 1 / (sqrt(2) sqrt(2) + 1).
    rows = [(0, 0, 1), (0, 1, 2), (1, 1, 3), (2, 2, 4), (2, 3, 5)]
    half, close = 1 / 3, 1 / (math.sqrt(2) + 1)
    for neighbours, expected in (
        (3, [half, half + close, half, half]),
        (2, [half, half + close, 0, 0]),  # of two as close, the first
        (1, [0, close, 0, 0]),
    ):
        knn = UserNeighbours(neighbours, shrinkage=1)
        knn.fit(events(rows), 3, 4, NOW)
        assert knn.scores(requests([(-1, [1, 2, 1])]))[0] == pytest.approx(expected, abs=2e-6)


def test_a_query_is_no_neighbour_of_its_own_and_its_history_decides():
    rows = [(0, 0, 1), (0, 1, 2), (1, 0, 3), (1, 2, 4)]
    knn = UserNeighbours(neighbours=5, shrinkage=0)
    knn.fit(events(rows), 2, 3, NOW)
    known, stranger, gone_on = knn.scores(requests([(0, [0, 1]), (-1, [0, 1]), (0, [0, 1, 2])]))
    assert known == pytest.approx([1 / 2, 0, 1 / 2], abs=2e-6)
    assert stranger == pytest.approx([1 / 2 + 1, 1, 1 / 2], abs=2e-6)
    assert gone_on[2] == pytest.approx(2 / math.sqrt(6), abs=2e-6)  # two of three in common with query 1


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=1, max_size=6),
    st.lists(st.integers(0, 4), max_size=6),
    st.integers(1, 6),
    st.sampled_from([0.0, 1.0, 20.0]),
)
def test_users_equal_a_loop(taken, history, neighbours, shrinkage):
    matrix = np.array(taken, float)
    knn = UserNeighbours(neighbours, shrinkage)
    knn.fit(events([(int(q), int(i), 1) for q, i in np.argwhere(matrix)]), len(matrix), 5, NOW)
    mine, found = np.isin(np.arange(5), history), []
    for query, row in enumerate(matrix):
        if row @ mine:
            similarity = row @ mine / (math.sqrt(mine.sum() * row.sum()) + shrinkage)
            found.append((-np.float32(similarity), query))
    expected = sum((-np.float64(s) * matrix[query] for s, query in sorted(found)[:neighbours]), np.zeros(5))
    assert knn.scores(requests([(-1, history)]))[0] == pytest.approx(expected, abs=1e-5)

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from pipelines.baselines.neighbours import ItemNeighbours
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

from unittest import mock

import hypothesis.strategies as st
import numpy as np
from hypothesis import given, settings

from pipelines.baselines.matrix import history_items, item_counts, largest, query_items, tie_break
from tests.pipelines.baselines.worlds import events, requests


def test_a_pair_has_its_largest_weight():
    matrix = query_items(events([(0, 2, 1, 0.5), (0, 2, 2, 3.0), (0, 2, 3, 1.0), (1, 0, 4)]), 3, 4)
    assert matrix.dtype == np.float32
    assert matrix.toarray().tolist() == [[0, 0, 3, 0], [1, 0, 0, 0], [0, 0, 0, 0]]


def test_no_events():
    assert query_items(events([]), 2, 3).toarray().tolist() == [[0, 0, 0], [0, 0, 0]]


def test_histories_are_binary_and_stay_as_they_were():
    history = requests([(0, [2, 0, 2]), (1, []), (2, [1])]).history
    assert history_items(history, 3).toarray().tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert history.values.tolist() == [2, 0, 2, 1]
    assert history.starts.tolist() == [0, 3, 3, 4]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(1, 4)), max_size=24),
    st.integers(1, 7),
    st.sampled_from([0.0, 2.0]),
)
def test_largest_equals_a_sort_whether_dense_or_sparse(entries, k, dense):
    places = {(row, column): value / 2 for row, column, value in entries}
    rows, columns = (np.array([place[axis] for place in places], int) for axis in (0, 1))
    values = np.array(list(places.values()), np.float32)
    expected = np.zeros((4, 6), np.float32)
    for row in range(4):
        mine = sorted((-value, column) for (r, column), value in places.items() if r == row)[:k]
        for value, column in mine:
            expected[row, column] = -value
    with mock.patch("pipelines.baselines.matrix._DENSE", dense):
        assert largest(rows, columns, values, (4, 6), k).toarray().tolist() == expected.tolist()


def test_tie_break_orders_by_popularity():
    counts = item_counts(events([(0, 1, 1, 3.0), (0, 1, 2), (1, 2, 3)]), 4)
    assert counts.tolist() == [0, 4, 1, 0]
    assert tie_break(counts).tolist() == np.array([0, 1e-6, 2.5e-7, 0], np.float32).tolist()
    assert tie_break(np.zeros(3)).tolist() == [0, 0, 0]

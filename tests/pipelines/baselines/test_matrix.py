import numpy as np

from pipelines.baselines.matrix import history_items, query_items
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

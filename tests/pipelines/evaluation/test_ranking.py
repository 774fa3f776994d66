import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from pipelines.evaluation.ranking import Scorer, rank, top_k
from pipelines.tables import Ragged, Requests


def requests(histories: list[list[int]]) -> Requests:
    """Requests that differ in their histories alone; the query is the row."""
    rows = len(histories)
    row = np.repeat(np.arange(rows), [len(history) for history in histories])
    history = Ragged.from_rows(row, np.array([i for h in histories for i in h], np.int32), rows)
    history_time = Ragged(history.starts, np.zeros(len(history.values), np.int64))
    targets = Ragged(np.zeros(rows + 1, np.int64), np.zeros(0, np.int32))
    return Requests(np.arange(rows, dtype=np.int32), np.zeros(rows, np.int64), history, history_time, targets)


def table(scores: np.ndarray) -> Scorer:
    """A scorer that looks up row `query` of `scores`."""
    return lambda block: scores[block.query]


def test_best_first_without_seen_and_ineligible():
    scores = np.array([[5, 4, 3, 2, 1], [1, 2, 3, 4, 5]], np.float32)
    eligible = np.array([True, True, True, True, False])
    ranked = rank(table(scores), requests([[0], [3, 0]]), 2, eligible)
    assert ranked.items.tolist() == [[1, 2], [2, 1]]
    assert ranked.scores.tolist() == [[4, 3], [3, 2]]
    assert ranked.items.dtype == np.int32
    assert ranked.scores.dtype == np.float32
    assert ranked.source == "exact"


def test_seen_items_return_when_they_are_not_filtered():
    scores = np.array([[3, 2, 1]], np.float32)
    ranked = rank(table(scores), requests([[0, 1]]), 3, np.ones(3, bool), filter_seen=False)
    assert ranked.items.tolist() == [[0, 1, 2]]


def test_short_lists_are_padded():
    scores = np.array([[3, 2, -np.inf, 1]], np.float32)
    ranked = rank(table(scores), requests([[0]]), 6, np.ones(4, bool))
    assert ranked.items.tolist() == [[1, 3, -1, -1, -1, -1]]
    assert ranked.scores[0, 2:].tolist() == [-np.inf] * 4


def test_nothing_admissible_is_an_empty_list():
    ranked = rank(table(np.ones((1, 3), np.float32)), requests([[]]), 2, np.zeros(3, bool))
    assert ranked.items.tolist() == [[-1, -1]]


def test_ties_go_to_the_lower_row():
    scores = np.array([[0, 1, 1, 2, 1, 1, -0.0]], np.float32)
    assert rank(table(scores), requests([[]]), 3, np.ones(7, bool)).items.tolist() == [[3, 1, 2]]
    assert rank(table(scores), requests([[]]), 7, np.ones(7, bool)).items.tolist() == [[3, 1, 2, 4, 5, 0, 6]]


def test_the_scorers_array_is_left_alone():
    scores = np.ones((1, 3), np.float32)
    scores.flags.writeable = False
    assert rank(lambda block: scores, requests([[1]]), 3, np.ones(3, bool)).items.tolist() == [[0, 2, -1]]


def test_no_requests():
    assert rank(table(np.ones((0, 3), np.float32)), requests([]), 2, np.ones(3, bool)).items.shape == (0, 2)


@pytest.mark.parametrize(
    ("scores", "k", "message"),
    [
        (np.ones((1, 3), np.float32), 0, "k: got 0"),
        (np.ones((1, 4), np.float32), 1, r"got shape \(1, 4\), expected \(1, 3\)"),
        (np.full((1, 3), np.nan, np.float32), 1, "got NaN"),
    ],
)
def test_refused(scores, k, message):
    with pytest.raises(ValueError, match=message):
        rank(table(scores), requests([[]]), k, np.ones(3, bool))


def test_top_k_of_no_columns():
    items, scores = top_k(np.zeros((2, 0), np.float32), 0)
    assert items.shape == scores.shape == (2, 0)


@st.composite
def worlds(draw):
    n_items = draw(st.integers(1, 8))
    rows = draw(st.integers(1, 5))
    item = st.integers(0, n_items - 1)
    levels = st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0])  # few levels, so that ties are the rule
    scores = draw(st.lists(st.lists(levels, min_size=n_items, max_size=n_items), min_size=rows, max_size=rows))
    eligible = draw(st.lists(st.booleans(), min_size=n_items, max_size=n_items))
    histories = draw(st.lists(st.lists(item, max_size=6), min_size=rows, max_size=rows))
    return np.array(scores, np.float32), np.array(eligible), histories


@settings(deadline=None)
@given(worlds(), st.integers(1, 10), st.integers(1, 6))
def test_equals_a_loop_over_rows(world, k, block):
    scores, eligible, histories = world
    ranked = rank(table(scores), requests(histories), k, eligible, block=block)
    for row, history in enumerate(histories):
        admitted = [
            item
            for item in range(len(eligible))
            if eligible[item] and item not in history and scores[row, item] > -np.inf
        ]
        best = sorted(admitted, key=lambda item: (-scores[row, item], item))[:k]
        assert ranked.items[row].tolist() == best + [-1] * (k - len(best))
        assert ranked.scores[row, : len(best)].tolist() == scores[row, best].tolist()

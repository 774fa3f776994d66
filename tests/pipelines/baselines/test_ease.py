import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from pipelines.baselines.ease import EASE
from tests.pipelines.baselines.worlds import NOW, checkerboard, events, requests


def test_two_items_by_hand():
    # Queries 0 and 1 took both items, query 2 only the first: X'X + I = [[4, 2], [2, 3]], whose inverse is
    # [[3, -2], [-2, 4]] / 8. The second item's weight on the first is 2/3, the first one's on the second 1/2.
    ease = EASE(l2=1)
    ease.fit(events([(0, 0, 1), (0, 1, 2), (1, 0, 3), (1, 1, 4), (2, 0, 5)]), 3, 2, NOW)
    assert ease.weights == pytest.approx(np.array([[0, 2 / 4], [2 / 3, 0]]), abs=1e-6)
    found = ease.scores(requests([(2, [0]), (-1, [1]), (9, []), (0, [1, 0, 1])]))
    assert found == pytest.approx(np.array([[0, 1 / 2], [2 / 3, 0], [0, 0], [2 / 3, 1 / 2]]), abs=2e-6)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=1, max_size=8),
    st.sampled_from([0.5, 3.0, 100.0]),
)
def test_each_item_is_a_ridge_regression_on_the_others(taken, l2):
    matrix = np.array(taken, float)
    ease = EASE(l2)
    ease.fit(events([(int(q), int(i), 1) for q, i in np.argwhere(matrix)]), len(matrix), 5, NOW)
    for item in range(5):
        others = np.arange(5) != item
        left = matrix[:, others]
        expected = np.linalg.solve(left.T @ left + l2 * np.eye(4), left.T @ matrix[:, item])
        assert ease.weights[others, item] == pytest.approx(expected, abs=1e-4)
        assert ease.weights[item, item] == 0


def test_another_l2_is_as_good_as_another_fit():
    past, asked = checkerboard(12)
    varied, fresh = EASE(l2=5), EASE(l2=50)
    varied.fit(past, 12, 12, NOW)
    fresh.fit(past, 12, 12, NOW)
    assert varied.vary(l2=50)
    np.testing.assert_array_equal(varied.scores(asked), fresh.scores(asked))


def test_a_singular_system_is_named():
    ease = EASE(l2=0)
    with pytest.raises(ValueError, match="l2 = 0"):
        ease.fit(events([(0, 0, 1), (0, 1, 2)]), 1, 2, NOW)

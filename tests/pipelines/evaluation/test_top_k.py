import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

from pipelines.evaluation import top_k as module
from pipelines.evaluation.top_k import ordered, top_k, top_k_of_pairs

LEVELS = st.sampled_from([-np.inf, -2.5, -1.0, -0.0, 0.0, 1e-40, 0.5, 3.0, np.inf])  # so few that ties are the rule
SIZES = st.tuples(st.integers(1, 4), st.integers(1, 60))
TABLES = SIZES.flatmap(lambda size: arrays(np.float32, size, elements=LEVELS))


def by_sorting(scores: np.ndarray, k: int) -> list[list[int]]:
    rows = [sorted(range(len(row)), key=lambda column: (-row[column], column))[:k] for row in scores]
    return [[-1 if scores[n, c] == -np.inf else c for c in row] for n, row in enumerate(rows)]


@settings(deadline=None)
@given(TABLES, st.data(), st.sampled_from([1, 2, 16]), st.sampled_from([0, 1, 8]))
def test_equals_sorting_however_the_columns_are_grouped(scores, data, groups, crowded):
    k = data.draw(st.integers(1, scores.shape[1]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_GROUPS", groups)
        patch.setattr(module, "_CROWDED", crowded)
        columns, values = top_k(scores, k)
    expected = by_sorting(scores, k)
    assert columns.tolist() == expected
    assert columns.dtype == np.int32
    assert values.dtype == np.float32
    for row, (found, value) in enumerate(zip(expected, values, strict=True)):
        assert value.tolist() == [-np.inf if column < 0 else scores[row, column] for column in found]


def test_many_columns():
    scores = np.random.default_rng(0).standard_normal((5, 20_000), np.float32)
    scores[:, ::7] = scores[:, :1]  # thousands level
    columns, values = top_k(scores, 100)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :100]
    np.testing.assert_array_equal(columns, expected)
    np.testing.assert_array_equal(values, np.take_along_axis(scores, expected, axis=1))


def test_no_columns():
    items, scores = top_k(np.zeros((2, 0), np.float32), 0)
    assert items.shape == scores.shape == (2, 0)


def test_pairs_name_their_columns_and_may_be_too_few():
    row, column = np.array([0, 0, 0, 2]), np.array([9, 4, 7, 1])
    columns, values = top_k_of_pairs(row, column, np.array([1, 1, 2, -3], np.float32), 3, 2)
    assert columns.tolist() == [[7, 4], [-1, -1], [1, -1]]
    assert values.tolist() == [[2, 1], [-np.inf, -np.inf], [-3, -np.inf]]


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=2, max_size=9))
def test_ordered_keeps_the_order_and_undoes_itself(numbers):
    values = np.array(numbers, np.float32) + np.float32(0)  # without -0, which is level with 0 and not the same bits
    integers = ordered(values)
    np.testing.assert_array_equal(np.argsort(integers, kind="stable"), np.argsort(values, kind="stable"))
    np.testing.assert_array_equal(ordered(integers).view(np.float32), values)

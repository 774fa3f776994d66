"""Membership in the graph, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from serving.sets import contains
from towers.backend import tf


def test_contains_counts_padding_as_nothing():
    found = contains(tf.constant([[1, -1, 2], [3, -1, -1]]), tf.constant([[2, -1], [1, 3]]))
    assert found.numpy().tolist() == [[True, False], [False, True]]


@pytest.mark.parametrize("width", [0, 1, 64, 65, 300])
def test_contains_is_the_same_for_any_number_of_exclusions(width):
    rng = np.random.default_rng(width)
    seen, rows = rng.integers(-1, 50, (3, width), np.int32), rng.integers(-1, 50, (3, 70), np.int32)
    expected = [[row >= 0 and row in seen[n] for row in rows[n]] for n in range(3)]
    assert contains(tf.constant(seen), tf.constant(rows)).numpy().tolist() == expected

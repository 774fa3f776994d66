"""What of a history a listed item is most like."""

from __future__ import annotations

import numpy as np
import pytest

from serving.reasons import most_like
from towers.backend import tf

EAST, NORTH, WEST, BETWEEN = [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.6, 0.8]


def named(listed: list, taken: list, rows: list) -> list[list[int]]:
    """Of one history."""
    vectors = (tf.constant(np.reshape(one, (1, -1, 2)), tf.float32) for one in (listed, taken))
    return most_like(*vectors, tf.constant([rows], tf.int32)).numpy().tolist()[0]


@pytest.mark.parametrize(
    ("listed", "rows", "expected"),
    [
        ([EAST, BETWEEN, WEST], [7, 8, 9], [7, 8, 9]),
        ([EAST, BETWEEN, WEST], [-1, 8, 9], [8, 8, 9]),
        ([EAST, BETWEEN, WEST], [-1, -1, 9], [9, 9, 9]),  # the opposite direction, but all there is
        ([EAST, BETWEEN], [-1, -1, -1], [-1, -1]),
        ([], [7, 8, 9], []),
    ],
)
def test_the_nearest_of_what_was_taken(listed, rows, expected):
    assert named(listed, [EAST, NORTH, WEST], rows) == expected


def test_the_length_of_vectors_makes_no_difference():
    for listed, taken in ((1.0, 9.0), (0.1, 0.1), (9.0, 0.1)):
        of = [np.array(EAST), taken * np.array(BETWEEN), np.array(NORTH)]
        assert named([listed * np.array([0.9, 0.2])], of, [7, 8, 9]) == [7]


def test_each_request_has_a_history_of_its_own():
    listed = tf.constant([[EAST], [EAST], [EAST]])
    taken = tf.constant([[EAST, NORTH], [NORTH, EAST], [EAST, EAST]])
    assert most_like(listed, taken, tf.constant([[1, 2], [3, 4], [-1, -1]])).numpy().tolist() == [[1], [4], [-1]]

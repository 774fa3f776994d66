"""Raw requests to what the towers read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.ids import ItemIds
from serving.requests import RequestReader
from tests.serving.small import IDS, LENGTH, Arrays, batch_of, inputs_of, seeing, strings
from towers.backend import tf


@pytest.fixture(scope="module")
def reader(exact) -> RequestReader:
    return RequestReader(exact.config, exact.fitted, ItemIds(IDS))


def read(reader: RequestReader, inputs: Arrays) -> Arrays:
    request = reader.read(
        {name: tf.constant(v, tf.string if v.dtype == object else v.dtype) for name, v in inputs.items()}
    )
    return {
        name: value.numpy() for name, value in {**request.batch, "seen": request.seen, "taken": request.taken}.items()
    }


def history(reader: RequestReader, ids: list[list[str]], times: list[list[int]], now: int = 100) -> list[list]:
    """What is read of each history: (item, time) of the places that count."""
    rows = len(ids)
    inputs = inputs_of([[]] * rows, history=strings(ids).reshape(rows, -1), time=np.full(rows, now))
    found = read(reader, inputs | {"history_time": np.array(times, np.int64).reshape(rows, -1)})
    assert found["item"].shape == found["mask"].shape == found["item_time"].shape == (rows, LENGTH)
    assert (found["item"][~found["mask"]] == 0).all()
    assert (found["item_time"][~found["mask"]] == now).all()
    np.testing.assert_array_equal(found["moment"][:, :-1], found["item_time"])
    assert (found["moment"][:, -1] == now).all()
    assert (np.diff(found["mask"].astype(int), axis=1) >= 0).all()  # right-aligned
    return [
        [(IDS[i], t) for i, t, real in zip(*row, strict=True) if real]
        for row in zip(found["item"], found["item_time"], found["mask"], strict=True)
    ]


def test_items_are_read_in_order_with_their_times(reader):
    assert history(reader, [["i20", "it's", "日本"]], [[5, 3, 8]]) == [[("i20", 5), ("it's", 3), ("日本", 8)]]


def test_unknown_items_and_padding_anywhere_are_passed_over_with_their_times(reader):
    ids = [["", "i20", "nobody", "i21", ""], ["", "", "", "", "i9"], ["i20 ", "I20", "i0020", "", "[UNK]"]]
    assert history(reader, ids, [[1, 2, 3, 4, 5]] * 3) == [[("i20", 2), ("i21", 4)], [("i9", 5)], []]


def test_padding_on_the_left_reads_as_padding_on_the_right(reader):
    left = history(reader, [["", "", "i20", "i21"]], [[0, 0, 7, 9]])
    right = history(reader, [["i20", "i21", "", ""]], [[7, 9, 0, 0]])
    assert left == right == [[("i20", 7), ("i21", 9)]]


def test_a_long_history_keeps_its_last_known_items(reader):
    ids = [f"i{i}" for i in range(20, 30)]
    ids[-2] = "nobody"
    assert history(reader, [ids], [list(range(10))]) == [
        [("i24", 4), ("i25", 5), ("i26", 6), ("i27", 7), ("i29", 9)],
    ]


def test_an_item_taken_twice_is_read_twice(reader):
    assert history(reader, [["i20", "i20"]], [[1, 2]]) == [[("i20", 1), ("i20", 2)]]


@pytest.mark.parametrize("width", [0, 1, 3, 12])
def test_an_empty_history_of_any_width(reader, width):
    assert history(reader, [[""] * width], [[0] * width]) == [[]]


def test_odd_ids_are_known(reader):
    assert reader.items.rows(tf.constant(IDS)).numpy().tolist() == list(range(len(IDS)))


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["i20", "", "nobody", "it's"], [-1, -1, -1, 20, 0]),
        ([f"i{row}" for row in range(20, 30)], [25, 26, 27, 28, 29]),
        (["i9", *[""] * 9], [-1, -1, -1, -1, 9]),
        ([], [-1] * LENGTH),
    ],
)
@pytest.mark.parametrize("likes", [[], ["x"]])
def test_taken_is_the_latest_known_of_the_history_alone(exact, ids, expected, likes):
    reader = RequestReader(exact.config, exact.fitted, ItemIds(IDS), ["x"], np.array([[40, 41, 42]], np.int32))
    found = read(reader, inputs_of([ids], likes=strings([likes]).reshape(1, -1)))
    assert found["taken"].tolist() == [expected]
    own = found["taken"] >= 0
    np.testing.assert_array_equal(found["item"][own], found["taken"][own])
    assert (found["mask"] & ~own).sum() == min(len(likes), (~own).sum())


def test_what_is_liked_is_read_as_the_mean_of_what_there_is_of_its_representatives(exact):
    representatives = np.array([[40, 41, 42], [-1, -1, 43], [-1, -1, -1]], np.int32)
    reader = RequestReader(exact.config, exact.fitted, ItemIds(IDS), ["x", "y", "none"], representatives)
    inputs = inputs_of([["i20"]], likes=strings([["none", "y", "unknown", "x"]]))
    request = reader.read(
        {name: tf.constant(v, tf.string if v.dtype == object else v.dtype) for name, v in inputs.items()}
    )
    assert request.liked.numpy().tolist() == [[-1, -1, 1, 0, -1]]
    found = reader.history(lambda rows: tf.cast(rows, tf.float32)[..., None], request.batch["item"], request.liked)
    assert found[..., 0].numpy().tolist() == [[0, 0, 43, 41, 20]]
    assert request.read.numpy().tolist() == [3]


def test_rows_of_nothing_and_of_unknown_ids(reader):
    assert reader.items.rows(tf.constant([["", "nobody"], ["i20", "\0"]])).numpy().tolist() == [[-1, -1], [20, -1]]
    assert reader.items.rows(tf.zeros([0, 3], tf.string)).shape == (0, 3)


def test_seen_is_the_whole_history_and_what_is_excluded(reader):
    ids = [f"i{i}" for i in range(20, 30)]
    seen = read(reader, inputs_of([ids, []], exclude=[["i40", "nobody"], ["it's"]]))["seen"]
    assert [set(row) - {-1} for row in seen.tolist()] == [{*range(20, 30), 40}, {0}]


def test_without_exclusions_seen_is_the_history(reader):
    inputs = inputs_of([["i20"], []])
    del inputs["exclude"]
    assert read(reader, inputs)["seen"].tolist() == [[20], [-1]]


@given(
    st.lists(st.lists(st.sampled_from(["", "nobody", "i20", "i21", "i22", "it's"]), max_size=9), min_size=1, max_size=4)
)
@settings(max_examples=30, deadline=None)
def test_reads_what_a_loop_in_python_reads(exact, reader, histories):
    inputs = inputs_of(histories, seed=len(histories))
    found, expected = read(reader, inputs), batch_of(exact.config, exact.fitted, inputs)
    for name, value in expected.items():
        if name == "item":
            value = tf.where(expected["mask"], value, 0)
        np.testing.assert_array_equal(found[name], value.numpy(), err_msg=name)


def test_the_clock_reads_the_time_of_the_request_and_a_column_of_time_reads_its_own(reader):
    midnight, noon = np.array([86_400 * 3]), np.array([86_400 * 3 + 43_200])
    found = read(reader, inputs_of([[]], time=noon, departure=midnight))
    assert found["context/clock"][0, :2] == pytest.approx([0, -1], abs=1e-6)
    assert found["context/departure"][0, :2] == pytest.approx([0, 1], abs=1e-6)


def test_unknown_and_missing_categories_have_places_of_their_own(reader):
    codes = read(reader, inputs_of([[]] * 3, country=strings(["", "nowhere", "at"])))["static/country"]
    assert codes.tolist() == [0, 1, 2]


def test_an_empty_batch(reader):
    found = read(reader, {name: value[:0] for name, value in inputs_of([["i20"]]).items()})
    assert found["item"].shape == (0, LENGTH)
    assert found["seen"].shape[0] == 0


def test_a_history_is_read_but_not_refused_where_seen_items_are_kept(exact):
    reader = RequestReader(seeing("keep"), exact.fitted, ItemIds(IDS))
    found = read(reader, inputs_of([["i20", "i21"]], exclude=[["i22"]]))
    assert found["mask"].sum() == 2
    assert [IDS[row] for row in found["seen"][0]] == ["i22"]

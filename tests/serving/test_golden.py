"""Golden requests: what counts as the same list on another processor."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from serving.golden import GOLDEN, Golden, read_golden, write_golden
from serving.manifest import BundleError

FOLDER = Path("nowhere")


def answer(items: str, scores: list[float]) -> dict[str, np.ndarray]:
    return {"items": np.array([[item.encode() for item in items]], object), "scores": np.array([scores], np.float32)}


@pytest.mark.parametrize(
    ("items", "scores"),
    [
        ("abcd", [9.0, 8.0, 7.0, 6.0]),  # the same, whatever the scores
        ("acbd", [9.0, 8.0, 8.0, 1.0]),  # level ones change places
        ("abcx", [9.0, 8.0, 8.0, 1.0001]),  # and one at the end makes room for another
    ],
)
def test_what_is_level_may_change_places(items, scores):
    Golden(0, {}, [*"abcd"], [9.0, 8.0, 8.0, 1.0]).hold(FOLDER, answer(items, scores))


@pytest.mark.parametrize(
    ("items", "scores"),
    [
        ("bacd", [9.0, 8.0, 8.0, 1.0]),  # not level
        ("axcd", [9.0, 8.0, 8.0, 1.0]),  # a stranger in the middle
        ("abcx", [9.0, 8.0, 8.0, 1.1]),  # another score at the end
        ("abc", [9.0, 8.0, 8.0]),
        ("", []),
    ],
)
def test_another_list_is_refused(items, scores):
    with pytest.raises(BundleError, match="golden request 3 in nowhere was answered"):
        Golden(3, {}, [*"abcd"], [9.0, 8.0, 8.0, 1.0]).hold(FOLDER, answer(items, scores))


def test_a_record_whose_items_were_moved_is_refused():
    with pytest.raises(BundleError):
        Golden(0, {}, [*"dcba"], [9.0, 8.0, 7.0, 1.0]).hold(FOLDER, answer("abcd", [9.0, 8.0, 7.0, 1.0]))


def test_without_recorded_scores_every_place_counts():
    with pytest.raises(BundleError):
        Golden(0, {}, [*"ab"], []).hold(FOLDER, answer("ba", [1.0, 1.0]))


def test_what_is_written_is_read(tmp_path):
    (tmp_path / GOLDEN).parent.mkdir()
    inputs = {"k": np.array([2], np.int32), "history": np.array([["x", ""]], object)}
    write_golden(tmp_path, [(inputs, answer("ab", [0.5, 0.25]))])
    (found,) = read_golden(tmp_path)
    assert (found.items, found.scores) == (["a", "b"], [0.5, 0.25])
    assert {name: value.tolist() for name, value in found.inputs.items()} == {"k": [2], "history": [["x", ""]]}
    assert found.inputs["k"].dtype == np.int32


@pytest.mark.parametrize("text", ["[]", "{}", "[{}]", "nothing"])
def test_a_file_without_a_request_is_refused(tmp_path, text):
    (tmp_path / GOLDEN).parent.mkdir()
    (tmp_path / GOLDEN).write_text(json.dumps(json.loads(text)) if text != "nothing" else text)
    with pytest.raises(BundleError):
        read_golden(tmp_path)

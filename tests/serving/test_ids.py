"""Items by id: every id is found at its row, and nothing else is found."""

from __future__ import annotations

from serving import ids
from serving.ids import ItemIds
from tests.serving.small import IDS
from towers import lookup
from towers.backend import tf


def test_every_id_is_at_its_row():
    known = ItemIds(IDS)
    assert known.rows(tf.constant(IDS)).numpy().tolist() == list(range(len(IDS)))
    assert known.names(known.rows(tf.constant([IDS]))).numpy().tolist() == [[name.encode() for name in IDS]]


def test_what_is_not_known_has_no_row_in_any_shape():
    known = ItemIds(["b", "a"])
    found = known.rows(tf.constant([["a", "", "c"], ["A", "b", "a "]]))
    assert found.numpy().tolist() == [[1, -1, -1], [-1, 0, -1]]
    assert known.rows(tf.zeros([0, 3], tf.string)).shape == (0, 3)
    assert known.names(tf.constant([1, -1, 0])).numpy().tolist() == [b"a", b"", b"b"]


def test_an_unknown_id_with_the_fingerprint_of_a_known_one_is_not_taken_for_it(monkeypatch):
    for module in (ids, lookup):
        monkeypatch.setattr(module, "fingerprints", lambda texts: tf.zeros(tf.shape(texts), tf.int64))
    known = ItemIds(["a"])
    assert known.rows(tf.constant(["a", "b"])).numpy().tolist() == [0, -1]

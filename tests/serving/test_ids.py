"""Items by id: every id is found at its row, and nothing else is found."""

from __future__ import annotations

import numpy as np
import pytest

from serving import ids
from serving.ids import ItemIds
from tests.serving.small import IDS
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
    monkeypatch.setattr(ids, "fingerprints", lambda texts: tf.zeros(tf.shape(texts), tf.int64))
    known = ItemIds(["a"])
    assert known.rows(tf.constant(["a", "b"])).numpy().tolist() == [0, -1]


def test_two_ids_with_one_fingerprint_are_refused(monkeypatch):
    monkeypatch.setattr(ids, "fingerprints", lambda texts: tf.cast(tf.strings.length(texts), tf.int64))
    with pytest.raises(ValueError, match="items: 'a' and 'b' have the same fingerprint"):
        ItemIds(["ccc", "a", "b"])


def test_fingerprints_are_those_of_a_table_that_lives_on():
    """A published bundle holds them: another hash would lose every item. FarmHash64 of "a", modulo 2^63 - 1."""
    assert ids.fingerprints(tf.constant(["a", ""])).numpy().dtype == np.int64
    found = ids.fingerprints(tf.constant(["a"])).numpy()[0]
    assert found == 12917804110809363939 % (2**63 - 1)

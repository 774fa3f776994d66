"""Words to indices: as Keras's own layer has them, but not kept in the graph."""

from __future__ import annotations

import numpy as np
import pytest

from configs.errors import DataError
from towers import lookup
from towers.backend import keras, tf
from towers.lookup import Lookup, fingerprints, sorted_fingerprints

WORDS = ["b", "né", "a", "z" * 24, "a ", "1", "[UNK]"]


@pytest.mark.parametrize("words", [WORDS, []])
def test_indices_are_those_of_keras(words):
    asked = tf.constant([[*WORDS, ""], [*reversed(WORDS), "nobody"]])
    theirs = keras.layers.StringLookup(mask_token="", oov_token="\x01", vocabulary=words or ["\x02"])
    found = Lookup(words, "words")(asked)
    assert found.dtype == tf.int64
    np.testing.assert_array_equal(found, theirs(asked))


def test_of_no_words_none_is_looked_up():
    assert Lookup(WORDS, "words")(tf.zeros([0, 3], tf.string)).shape == (0, 3)


def test_words_are_not_in_the_graph(tmp_path):
    module = tf.Module()
    module.layer = Lookup([f"word {number}" for number in range(50_000)], "words")
    call = tf.function(module.layer.call, input_signature=[tf.TensorSpec([None], tf.string)])
    tf.saved_model.save(module, str(tmp_path), signatures=call)
    assert (tmp_path / "saved_model.pb").stat().st_size < 50_000
    loaded = tf.saved_model.load(str(tmp_path)).signatures["serving_default"](tf.constant(["word 9", "word", ""]))
    assert loaded["output_0"].numpy().tolist() == [11, 1, 0]


@pytest.mark.parametrize("make", [sorted_fingerprints, lambda words, what: Lookup(words, what)])
def test_two_words_with_one_fingerprint_are_refused(monkeypatch, make):
    monkeypatch.setattr(lookup, "fingerprints", lambda texts: tf.cast(tf.strings.length(texts), tf.int64))
    with pytest.raises(DataError, match="items: 'a' and 'b' have the same fingerprint; rename one of them"):
        make(["ccc", "a", "b"], "items")


def test_fingerprints_are_those_of_a_table_that_lives_on():
    """A published bundle holds them: another hash would lose every item. FarmHash64 of "a", modulo 2^63 - 1."""
    found = fingerprints(tf.constant(["a", ""])).numpy()
    assert found.dtype == np.int64
    assert found[0] == 12917804110809363939 % (2**63 - 1)

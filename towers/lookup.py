"""Text to numbers in the graph, by fingerprints that lie in variables.

Keras's StringLookup keeps its words in the graph itself, where every step of loading copies them: a million ids take
6 s of a loader's time. Numbers in a variable are read as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from configs.errors import DataError
from towers.backend import keras, take, tf

UNKNOWN = 1
FIRST_KNOWN = 2
_FINGERPRINTS = 2**63 - 1


class Lookup(keras.layers.Layer):
    """Strings of any shape to indices, int64: "" is 0, unknown is 1, `vocabulary[i]` is i + 2.

    The words themselves are not kept: an unknown one that has the fingerprint of a known one is taken for it, which of
    n words befalls one in 2^63 / n.
    """

    def __init__(self, vocabulary: Sequence[str], what: str) -> None:
        """what: whose words they are. Raises: DataError when two have the same fingerprint."""
        super().__init__()
        found, rows = sorted_fingerprints(["", *vocabulary], what)
        self.fingerprints = tf.Variable(found, trainable=False)
        self.indices = tf.Variable(np.where(rows > 0, rows + (FIRST_KNOWN - 1), 0).astype(np.int32), trainable=False)

    def call(self, words: tf.Tensor) -> tf.Tensor:
        """Look every word up."""
        asked = fingerprints(tf.reshape(words, [-1]))
        place = nearest(self.fingerprints, asked)
        known = take(self.fingerprints, place) == asked
        found = tf.where(known, take(self.indices, place), UNKNOWN)
        return tf.reshape(tf.cast(found, tf.int64), tf.shape(words))


def nearest(ordered: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Where each of values [n] stands in ordered [N] if it does, and somewhere in it if not; int32 [n]."""
    # tf.searchsorted fails on no values
    place = tf.raw_ops.LowerBound(sorted_inputs=ordered[None], values=values[None], out_type=tf.int32)[0]
    return tf.minimum(place, tf.size(ordered) - 1)


def fingerprints(texts: tf.Tensor) -> tf.Tensor:
    """FarmHash fingerprints of strings, int64 of the same shape."""
    return tf.strings.to_hash_bucket_fast(texts, _FINGERPRINTS)


def sorted_fingerprints(texts: Sequence[str | bytes], what: str) -> tuple[np.ndarray, np.ndarray]:
    """The fingerprints of texts in ascending order, int64 [N], and the rows they are of, int32 [N].

    Raises: DataError, of `what`, when two are the same.
    """
    found = fingerprints(tf.constant(list(texts), tf.string)).numpy()
    rows = np.argsort(found, kind="stable").astype(np.int32)
    found = found[rows]
    if (same := np.flatnonzero(found[1:] == found[:-1])).size:
        one, other = (texts[row] for row in rows[same[0] : same[0] + 2])
        raise DataError(f"{what}: {one!r} and {other!r} have the same fingerprint; rename one of them")
    return found, rows

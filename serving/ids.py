"""Items by id in the graph: fingerprints in order, which may grow after export, as lookup tables may not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from towers.backend import tf

_FINGERPRINTS = 2**63 - 1


class ItemIds(tf.Module):
    """The ids of N items, by row, and their rows, by id."""

    def __init__(self, ids: Sequence[str]) -> None:
        """Raises: ValueError when two ids have the same fingerprint, of 63 bits."""
        super().__init__()
        found, rows = sorted_fingerprints(ids)
        self.ids = tf.Variable([*ids, ""], trainable=False, shape=[None])  # the last row names no item
        self.fingerprints = tf.Variable(found, trainable=False, shape=[None])
        self.by_fingerprint = tf.Variable(rows, trainable=False, shape=[None])

    def rows(self, ids: tf.Tensor) -> tf.Tensor:
        """Ids of any shape to rows, int32; -1 for "" and for ids that are not known."""
        asked = tf.reshape(ids, [-1])
        rows = tf.gather(self.by_fingerprint, nearest(self.fingerprints, fingerprints(asked)))
        known = (tf.gather(self.ids, rows) == asked) & (asked != "")
        return tf.reshape(tf.where(known, rows, -1), tf.shape(ids))

    def names(self, rows: tf.Tensor) -> tf.Tensor:
        """Rows of any shape to ids; "" for negative ones."""
        nothing = tf.size(self.fingerprints)  # asked for their size, the ids themselves would be copied
        return tf.gather(self.ids, tf.where(rows >= 0, rows, nothing))


def nearest(ordered: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Where each of values [n] stands in ordered [N] if it does, and somewhere in it if not; int32 [n]."""
    # tf.searchsorted fails on no values
    place = tf.raw_ops.LowerBound(sorted_inputs=ordered[None], values=values[None], out_type=tf.int32)[0]
    return tf.minimum(place, tf.size(ordered) - 1)


def fingerprints(ids: tf.Tensor) -> tf.Tensor:
    """FarmHash fingerprints of strings, int64 of the same shape."""
    return tf.strings.to_hash_bucket_fast(ids, _FINGERPRINTS)


def sorted_fingerprints(ids: Sequence[str | bytes]) -> tuple[np.ndarray, np.ndarray]:
    """The fingerprints of ids in ascending order, int64 [N], and the rows they are of, int32 [N].

    Raises: ValueError when two are the same.
    """
    found = fingerprints(tf.constant(list(ids), tf.string)).numpy()
    rows = np.argsort(found, kind="stable").astype(np.int32)
    found = found[rows]
    if (same := np.flatnonzero(found[1:] == found[:-1])).size:
        one, other = (ids[row] for row in rows[same[0] : same[0] + 2])
        raise ValueError(f"items: {one!r} and {other!r} have the same fingerprint; rename one of them")
    return found, rows

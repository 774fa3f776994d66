"""Items by id in the graph: fingerprints in order, which may grow after export, as lookup tables may not."""

from __future__ import annotations

from collections.abc import Sequence

from towers.backend import take, tf
from towers.lookup import fingerprints, nearest, sorted_fingerprints


class ItemIds(tf.Module):
    """The ids of N items, by row, and their rows, by id."""

    def __init__(self, ids: Sequence[str]) -> None:
        """Raises: DataError when two ids have the same fingerprint, of 63 bits."""
        super().__init__()
        found, rows = sorted_fingerprints(ids, "items")
        self.ids = tf.Variable([*ids, ""], trainable=False, shape=[None])  # the last row names no item
        self.fingerprints = tf.Variable(found, trainable=False, shape=[None])
        self.by_fingerprint = tf.Variable(rows, trainable=False, shape=[None])

    def rows(self, ids: tf.Tensor) -> tf.Tensor:
        """Ids of any shape to rows, int32; -1 for "" and for ids that are not known."""
        asked = tf.reshape(ids, [-1])
        rows = take(self.by_fingerprint, nearest(self.fingerprints, fingerprints(asked)))
        known = (take(self.ids, rows) == asked) & (asked != "")
        return tf.reshape(tf.where(known, rows, -1), tf.shape(ids))

    def names(self, rows: tf.Tensor) -> tf.Tensor:
        """Rows of any shape to ids; "" for negative ones."""
        nothing = tf.size(self.fingerprints)
        return take(self.ids, tf.where(rows >= 0, rows, nothing))

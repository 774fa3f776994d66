"""Why an item is listed, in graph form: what of the history it is most like."""

from __future__ import annotations

from towers.backend import tf
from towers.losses import MASKED


def most_like(listed: tf.Tensor, taken: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Of the items of each history, rows [B, L] (-1 is padding), the one nearest to each listed item, [B, n].

    listed [B, n, d] and taken [B, L, d] are their vectors, of any length: near by cosine. -1 of an empty history.
    """
    # how long a listed vector is makes no difference to what is nearest to it
    near = tf.matmul(listed, tf.math.l2_normalize(taken, axis=-1), transpose_b=True)
    nearest = tf.argmax(tf.where((rows >= 0)[:, None, :], near, MASKED), axis=2, output_type=tf.int32)
    return tf.gather(rows, nearest, axis=1, batch_dims=1)

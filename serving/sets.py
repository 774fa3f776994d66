"""Sets of rows and codes in the graph."""

from __future__ import annotations

from towers.backend import tf

_FEW = 64  # members up to which comparing with each is the quickest


def contains(members: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Which of values [B, n] are among members [B, S] of the same integer type, [B, n] bool; -1 is in nothing."""

    def compared() -> tf.Tensor:
        return tf.reduce_any(values[:, :, None] == members[:, None, :], axis=2)

    def sought() -> tf.Tensor:
        ordered = tf.sort(members, axis=1)
        place = tf.minimum(tf.searchsorted(ordered, values), tf.shape(members)[1] - 1)
        return tf.gather(ordered, place, axis=1, batch_dims=1) == values

    return tf.cond(tf.shape(members)[1] > _FEW, sought, compared) & (values >= 0)

"""Products of many rows with few tables, each row with the table that it belongs to."""

from __future__ import annotations

from collections.abc import Callable

from towers.backend import tf

_BLOCK = 16  # rows of one table that are multiplied together


def grouped_products(rows: tf.Tensor, group: tf.Tensor, tables: tf.Tensor) -> tf.Tensor:
    """[Q, C]: the products of each of rows [Q, t] with the C rows of its own table, tables[group]; the gradient is that
    of `rows` alone.

    group [Q] int; tables [G, C, t]. Rows are sorted by group and multiplied in blocks, the last of each group filled
    up, so that a table is read once for a block rather than once for each row and each of the t columns.
    """
    order = tf.argsort(group)
    ordered = tf.gather(group, order)
    within = tf.range(tf.size(group)) - tf.searchsorted(ordered, ordered)
    begins = within % _BLOCK == 0
    place = (tf.cumsum(tf.cast(begins, tf.int32)) - 1) * _BLOCK + within % _BLOCK
    # every group but those without rows may leave one block unfilled; a bound, so that XLA knows the shape
    blocks = tf.size(group) // _BLOCK + tf.minimum(tf.shape(tables)[0], tf.size(group))
    row_of = tf.scatter_nd(place[:, None], order, [blocks * _BLOCK])
    place_of = tf.scatter_nd(order[:, None], place, [tf.size(group)])
    table_of = tf.scatter_nd(place[:, None] // _BLOCK, tf.where(begins, ordered, 0), [blocks])
    tables = tf.gather(tables, table_of)
    width, columns = tf.shape(rows)[1], tf.shape(tables)[1]

    @tf.custom_gradient
    def product(rows: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            found = tf.matmul(tf.reshape(tf.gather(upstream, row_of), [blocks, _BLOCK, columns]), tables)
            return tf.gather(tf.reshape(found, [-1, width]), place_of)

        blocked = tf.reshape(tf.gather(rows, row_of), [blocks, _BLOCK, width])
        products = tf.matmul(blocked, tables, transpose_b=True)
        return tf.gather(tf.reshape(products, [-1, columns]), place_of), gradient

    return product(rows)

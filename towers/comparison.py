"""What a query's moment says of each candidate: whether it may be compared at all, and how it trended then.

Candidates are `items` [C] of a catalogue of N, or all of them in their own order where `items` is None.
"""

from __future__ import annotations

from towers.backend import tf
from towers.grouped import grouped_products
from towers.trends import Trends


def comparable(
    items: tf.Tensor | None, seen: tf.Tensor, listed: tf.Tensor | None, moment: tf.Tensor, size: int
) -> tf.Tensor:
    """[R x M, C] bool: False for known positives of the row's query, its target among them, and items not out yet.

    seen [n, 2] (row, item); listed [N], when items come out, None where all are out at all moments; moment [R, M], on
    the same axis; `size` is N.
    """
    known = _known(items, seen, tf.shape(moment)[0], size)
    if listed is None:
        return tf.repeat(~known, tf.shape(moment)[1], axis=0)
    listed = listed if items is None else tf.gather(listed, items)
    fair = ~known[:, None, :] & (listed[None, None, :] <= moment[:, :, None])
    return tf.reshape(fair, [tf.size(moment), tf.shape(fair)[2]])


def _known(items: tf.Tensor | None, seen: tf.Tensor, rows: tf.Tensor, size: int) -> tf.Tensor:
    """Which candidates each row has seen, [R, C], without a table of rows x catalogue where C is smaller."""
    row, item = seen[:, 0], seen[:, 1]
    if items is None:
        return tf.scatter_nd(seen, tf.ones_like(row), [rows, size]) > 0
    # look-ups in sorted order rather than tf.unique, so that no shape depends on what was drawn
    ordered = tf.sort(items)
    place = tf.minimum(tf.searchsorted(ordered, item), tf.size(items) - 1)
    hit = tf.cast(tf.gather(ordered, place) == item, tf.int32)
    marked = tf.scatter_nd(tf.stack([row, place], axis=1), hit, [rows, tf.size(items)]) > 0
    return tf.gather(marked, tf.searchsorted(ordered, items), axis=1)  # copies of an item share its first place


def trend_scores(
    weights: tf.Tensor, bucket: tf.Tensor, items: tf.Tensor | None, trends: Trends, cold: tf.Tensor | None = None
) -> tf.Tensor | None:
    """[Q, C]: what each candidate's trend at the query's own moment adds to its score; None where t is 0.

    weights [Q, t]; bucket [Q] of the moments; cold [C] bool, candidates that are to trend as an item just listed does,
    which adds nothing: all its columns are 0.
    """
    if trends.columns == 0:
        return None
    tables, place = trends.tables(bucket, items)
    products = grouped_products(weights, place, tables)
    # of the products, as the table is by far the larger
    return products if cold is None else tf.where(cold[None, :], tf.zeros_like(products), products)


def trend_of_own(
    weights: tf.Tensor, bucket: tf.Tensor, own: tf.Tensor, trends: Trends, cold: tf.Tensor | None = None
) -> tf.Tensor | None:
    """[Q]: the same for one item of each query's own, `own` [Q]; cold [Q] bool."""
    if trends.columns == 0:
        return None
    total = tf.reduce_sum(weights * trends.at(bucket, own), axis=1)
    return total if cold is None else tf.where(cold, tf.zeros_like(total), total)

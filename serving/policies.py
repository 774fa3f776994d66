"""List-level goals: which of the ranked candidates make the list, in graph form."""

from __future__ import annotations

from towers.backend import tf
from towers.losses import MASKED


def mmr(scores: tf.Tensor, vectors: tf.Tensor, relevance: tf.Tensor, k: tf.Tensor) -> tf.Tensor:
    """Maximal marginal relevance (Carbonell & Goldstein 1998): positions of the chosen, in order, [B, k] int32.

    scores [B, P], `MASKED` where there is no candidate; vectors [B, P, d] of unit length; relevance [B] in [0, 1]
    weighs the score (scaled to [0, 1] within the list) against the largest cosine to what is chosen already, 0 where
    all point away; k is a scalar of at most P. Real candidates are chosen before masked ones.
    """
    valid = scores > MASKED
    scaled = _unit_range(scores, valid)
    batch, pool = tf.shape(scores)[0], tf.shape(scores)[1]
    weight = relevance[:, None]
    chosen = tf.TensorArray(tf.int32, size=k, element_shape=[None])

    def step(place, chosen, nearest, free):  # nearest: [B, P], largest cosine to anything chosen so far
        value = weight * scaled - (1.0 - weight) * nearest
        value = tf.where(valid, value, value - 1e3)
        best = tf.argmax(tf.where(free, value, MASKED), axis=1, output_type=tf.int32)
        similarity = tf.linalg.matvec(vectors, tf.gather(vectors, best, axis=1, batch_dims=1))
        nearest = tf.maximum(nearest, similarity)
        free &= tf.range(pool)[None, :] != best[:, None]
        return place + 1, chosen.write(place, best), nearest, free

    start = (0, chosen, tf.zeros([batch, pool]), tf.ones([batch, pool], tf.bool))
    _, chosen, _, _ = tf.while_loop(lambda place, *_: place < k, step, start)
    return tf.transpose(chosen.stack())


def _unit_range(scores: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
    """Scores scaled to [0, 1] within each list; 0 where invalid."""
    low = tf.reduce_min(tf.where(valid, scores, tf.float32.max), axis=1, keepdims=True)
    high = tf.reduce_max(tf.where(valid, scores, tf.float32.min), axis=1, keepdims=True)
    return tf.where(valid, tf.math.divide_no_nan(scores - low, high - low), 0.0)

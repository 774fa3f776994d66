"""The retrieval loss: a softmax of each query over its candidates, built on TensorFlow Recommenders' task."""

from __future__ import annotations

from collections.abc import Callable

from towers.backend import tf
from towers.maxsim import maxsim

# isort: split
import tensorflow_recommenders as tfrs  # after the backend, which picks the Keras that it needs

MASKED = tf.float32.min / 100.0


class CandidateSoftmax(tfrs.tasks.Retrieval):
    """`tfrs.tasks.Retrieval` with five things it lacks.

    - the positive of each query has a column of its own beside the candidates that all queries share, so that these
      can be few for many queries, or the whole catalogue; a query with several positives is compared once for all;
    - logQ is given as log-probabilities: the library clips probabilities at 1e-6, which silences the correction
      on large catalogues;
    - scores may have a part that is no inner product (offsets: trends at each query's own moment);
    - the loss is a weighted mean where the library's is a sum, so that the learning rate does not depend on how
      many examples a batch holds;
    - it is worked out in float32, whatever the towers compute in.
    """

    def __init__(self) -> None:
        super().__init__()
        self._autocast = False  # under a policy of mixed precision Keras would cast the arguments down

    def call(
        self,
        query_embeddings: tf.Tensor,
        positive_embeddings: tf.Tensor,
        candidate_embeddings: tf.Tensor,
        sample_weight: tf.Tensor | None = None,
        candidate_log_probability: tf.Tensor | None = None,
        positive_log_probability: tf.Tensor | None = None,
        score_mask: tf.Tensor | None = None,
        score_offset: tf.Tensor | None = None,
        positive_offset: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Mean loss over the positives, a scalar.

        query_embeddings [Q, d], or [Q, m, d], of which the best fitting scores a candidate, as in the library;
        positive_embeddings [Q, d], of each query's own positive, or [Q, p, d], of its p; candidate_embeddings [C, d],
        of the candidates that all queries share; sample_weight [Q x p]; candidate_log_probability [C] and
        positive_log_probability [Q x p], log of how probable each was to be drawn; score_mask [Q, C] bool, False where
        a candidate is not to be compared, as where it is a positive itself; score_offset [Q, C] and positive_offset
        [Q x p], added to the inner products.
        """
        queries, positives, candidates = (
            tf.cast(vectors, tf.float32) for vectors in (query_embeddings, positive_embeddings, candidate_embeddings)
        )
        own = maxsim(queries, positives if positives.shape.rank == 3 else positives[:, None])  # [Q, p]
        scores = maxsim(queries, candidates)
        for part in (positive_offset, _negated(positive_log_probability)):
            own = own if part is None else own + tf.reshape(tf.cast(part, tf.float32), tf.shape(own))
        for part in (score_offset, _negated(candidate_log_probability)):
            scores = scores if part is None else scores + tf.cast(part, tf.float32)
        # the cross-entropy of the positive against itself and the candidates, without a column for it among them
        losses = tf.reshape(tf.math.softplus(_log_sum_exp(scores, score_mask) - own), [-1])
        if sample_weight is None:
            return tf.reduce_mean(losses)
        return tf.math.divide_no_nan(tf.reduce_sum(losses * sample_weight), tf.reduce_sum(sample_weight))


def _log_sum_exp(scores: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """[Q, 1] over scores [Q, C] where `mask`; its gradient is one pass over the shares that are worked out for it."""

    @tf.custom_gradient
    def reduced(scores: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        if mask is not None:
            scores = tf.where(mask, scores, MASKED)
        highest = tf.reduce_max(scores, axis=1, keepdims=True)
        shares = tf.exp(scores - highest)
        total = tf.reduce_sum(shares, axis=1, keepdims=True)
        return highest + tf.math.log(total), lambda upstream: shares * (upstream / total)

    return reduced(scores)


def _negated(part: tf.Tensor | None) -> tf.Tensor | None:
    return None if part is None else -part

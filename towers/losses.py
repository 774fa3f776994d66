"""The retrieval losses, of each query's positives against its candidates, built on TensorFlow Recommenders' task."""

from __future__ import annotations

import math
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
        own = _own_scores(query_embeddings, positive_embeddings, positive_offset, _negated(positive_log_probability))
        scores = _scores(query_embeddings, candidate_embeddings, score_offset, _negated(candidate_log_probability))
        # the cross-entropy of the positive against itself and the candidates, without a column for it among them
        return _mean(tf.math.softplus(_log_sum_exp(scores, score_mask) - own), sample_weight)


class GeneralisedBCE(tfrs.tasks.Retrieval):
    """Binary cross-entropy of positives and evenly drawn negatives, made up for those that were not drawn (gBCE).

    After Petrov and Macdonald, gSASRec: reducing overconfidence in sequential recommendation trained with negative
    sampling, RecSys 2023. Plain cross-entropy takes what is drawn for all there is, so that every item looks likely.
    Where each item is drawn `rate` times on average, a positive counts beta = 1 - t * (1 - rate) instead, the paper's
    rate * (t * (1 - 1 / rate) + 1 / rate):

        beta * -log sigmoid(s+)  +  sum over the negatives of -log(1 - sigmoid(s-))

    With t = 0 that is plain cross-entropy, with t = 1 the best sigmoid(s) is the probability that the item is taken.
    What `CandidateSoftmax` adds to the library's task is here too, but for logQ: of items that are as likely to be
    drawn, none needs more of it than another. Two things differ from the paper, and move no optimum:

    - s is the inner product and what an item of which nothing is known deserves, log(beta / negatives). From even odds
      the first steps would do little but push all items down, by gradients hundreds of times as large as any later,
      and Adam would go on in small steps for thousands (focal loss, Lin et al., 2017, starts from rare positives too);
    - the paper divides by one more than there are negatives: gradients as small as that are lost in Adam's epsilon.
    """

    def __init__(self, calibration: float, negatives: int, items: int) -> None:
        """calibration: the t above, 0 to 1; negatives: drawn for each positive, out of so many items."""
        super().__init__()
        self._autocast = False  # as above
        self._beta = 1.0 - calibration * (1.0 - negatives / items)
        self._start = math.log(self._beta / negatives)

    def call(
        self,
        query_embeddings: tf.Tensor,
        positive_embeddings: tf.Tensor,
        candidate_embeddings: tf.Tensor,
        sample_weight: tf.Tensor | None = None,
        score_mask: tf.Tensor | None = None,
        score_offset: tf.Tensor | None = None,
        positive_offset: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Mean loss over the positives, a scalar. Arguments are those of `CandidateSoftmax`."""
        own = _own_scores(query_embeddings, positive_embeddings, positive_offset) + self._start
        scores = _scores(query_embeddings, candidate_embeddings, score_offset) + self._start
        if score_mask is not None:
            scores = tf.where(score_mask, scores, MASKED)
        negatives = tf.reduce_sum(tf.math.softplus(scores), axis=1, keepdims=True)  # [Q, 1], for each of its positives
        return _mean(self._beta * tf.math.softplus(-own) + negatives, sample_weight)


def _own_scores(queries: tf.Tensor, positives: tf.Tensor, *parts: tf.Tensor | None) -> tf.Tensor:
    """[Q, p] of each query's own positives, in float32; parts [Q x p] are added."""
    positives = positives if positives.shape.rank == 3 else positives[:, None]
    own = maxsim(tf.cast(queries, tf.float32), tf.cast(positives, tf.float32))
    for part in parts:
        own = own if part is None else own + tf.reshape(tf.cast(part, tf.float32), tf.shape(own))
    return own


def _scores(queries: tf.Tensor, candidates: tf.Tensor, *parts: tf.Tensor | None) -> tf.Tensor:
    """[Q, C] of the candidates that all queries share, in float32; parts [Q, C] or [C] are added."""
    scores = maxsim(tf.cast(queries, tf.float32), tf.cast(candidates, tf.float32))
    for part in parts:
        scores = scores if part is None else scores + tf.cast(part, tf.float32)
    return scores


def _mean(losses: tf.Tensor, weight: tf.Tensor | None) -> tf.Tensor:
    """Weighted mean of losses [Q, p] by `weight` [Q x p]; 0 where nothing has weight."""
    losses = tf.reshape(losses, [-1])
    if weight is None:
        return tf.reduce_mean(losses)
    return tf.math.divide_no_nan(tf.reduce_sum(losses * weight), tf.reduce_sum(weight))


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

"""The retrieval loss: a softmax of each query over its candidates, built on TensorFlow Recommenders' task."""

from __future__ import annotations

from towers.backend import keras, tf

# isort: split
import tensorflow_recommenders as tfrs  # after the backend, which picks the Keras that it needs

MASKED = tf.float32.min / 100.0


class CandidateSoftmax(tfrs.tasks.Retrieval):
    """`tfrs.tasks.Retrieval` with four things it lacks.

    - the positive of a row may stand in any column, so that the candidates can be the whole catalogue;
    - logQ is given as log-probabilities: the library clips probabilities at 1e-6, which silences the correction
      on large catalogues;
    - scores may have a part that is no inner product (`score_offset`: trends at each query's own moment);
    - the loss is a weighted mean where the library's is a sum, so that the learning rate does not depend on how
      many examples a batch holds.
    """

    def __init__(self) -> None:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=keras.losses.Reduction.NONE)
        super().__init__(loss=loss)

    def call(
        self,
        query_embeddings: tf.Tensor,
        candidate_embeddings: tf.Tensor,
        positive_column: tf.Tensor,
        sample_weight: tf.Tensor | None = None,
        candidate_log_probability: tf.Tensor | None = None,
        score_mask: tf.Tensor | None = None,
        score_offset: tf.Tensor | None = None,
        positive_copies: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Mean loss over the queries, a scalar.

        query_embeddings [Q, d]; candidate_embeddings [C, d]; positive_column [Q] int; sample_weight [Q];
        candidate_log_probability [C], log of how probable it is that a column was drawn; score_mask [Q, C] bool,
        False where a candidate is not to be compared (the positive always is); score_offset [Q, C];
        positive_copies [Q], how many columns hold the positive, masked copies included: their share of the softmax
        belongs to the positive, which logQ alone would leave short.
        """
        scores = tf.matmul(query_embeddings, candidate_embeddings, transpose_b=True)
        if score_offset is not None:
            scores += score_offset
        if candidate_log_probability is not None:
            scores -= candidate_log_probability
        columns = tf.range(tf.shape(scores)[1], dtype=positive_column.dtype)
        is_positive = positive_column[:, None] == columns[None, :]
        if positive_copies is not None:
            scores += tf.where(is_positive, tf.math.log(tf.cast(positive_copies, tf.float32))[:, None], 0.0)
        if score_mask is not None:
            scores = tf.where(score_mask | is_positive, scores, MASKED)
        losses = self._loss(y_true=positive_column, y_pred=scores)
        if sample_weight is None:
            return tf.reduce_mean(losses)
        return tf.math.divide_no_nan(tf.reduce_sum(losses * sample_weight), tf.reduce_sum(sample_weight))

"""Cross layers, shared by the towers and the ranker."""

from __future__ import annotations

from towers.backend import keras, tf

# isort: split
import tensorflow_recommenders as tfrs  # after the backend, which picks the Keras that it needs


class Crosses(keras.layers.Layer):
    """Cross layers of DCN-v2 (Wang et al. 2021), of full rank: x_(l+1) = x_0 * (W x_l + b) + x_l."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.crosses = [tfrs.layers.dcn.Cross(kernel_initializer="glorot_uniform") for _ in range(layers)]

    def call(self, first: tf.Tensor) -> tf.Tensor:
        """[..., n] to [..., n]."""
        crossed = first
        for cross in self.crosses:
            crossed = cross(first, crossed)
        return crossed

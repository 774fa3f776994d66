"""ScaNN in the graph (Guo et al. 2020): quantised scores for all items, exact scores for the best of them.

Uses `scann_ops` directly: the layer of TensorFlow Recommenders reorders nothing and returns phantom items.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scann.scann_ops.py import scann_ops

from serving.searchers.base import NOTHING
from towers.backend import tf

_TREE_FROM = 100_000  # items; below, hashing every item is as fast (ScaNN's guidance)
_HASH_FROM = 100  # items; codebooks cannot be learned on fewer
_TENSORS = {
    "scann_config": tf.string,
    "serialized_partitioner": tf.string,
    "datapoint_to_token": tf.int32,
    "ah_codebook": tf.string,
    "hashed_dataset": tf.uint8,
    "int8_dataset": tf.int8,
    "int8_multipliers": tf.float32,
    "dp_norms": tf.float32,
    "dataset": tf.float32,
}


class Scann(tf.Module):
    """Asymmetric hashing with exact reordering; above 100,000 items behind a tree of about sqrt(N) leaves.

    `reorder` (how many items are scored exactly) and `leaves` (share of the tree searched) trade time for recall;
    `pipelines.index` sets them from measured recall. `reorder` does not follow the k of a call: a query would
    else be answered differently in another batch, whose longest history asks for more.
    """

    kind = "scann"

    def __init__(self, state: scann_ops.ScannState, size: int, reorder: int, leaves: float) -> None:
        super().__init__()
        self.state = state
        self.size = size
        self.reorder, self.leaves = reorder, leaves

    @classmethod
    def build(cls, vectors: np.ndarray) -> Scann:
        """Build over `vectors` [N, D]."""
        builder = scann_ops.builder(np.asarray(vectors, np.float32), min(100, len(vectors)), "dot_product")
        if len(vectors) >= _TREE_FROM:
            leaves = round(math.sqrt(len(vectors)))
            builder = builder.tree(leaves, max(1, leaves // 10), training_sample_size=min(len(vectors), 250_000))
        if len(vectors) >= _HASH_FROM:
            builder = builder.score_ah(2, anisotropic_quantization_threshold=0.2).reorder(200)
        else:
            builder = builder.score_brute_force()
        return cls(builder.build().serialize_to_module(), len(vectors), reorder=500, leaves=0.1)

    @classmethod
    def restore(cls, parts: Mapping[str, np.ndarray]) -> Scann:
        """Rebuild from saved arrays."""
        tensors = [tf.io.parse_tensor(parts[name].tobytes(), dtype) for name, dtype in _TENSORS.items()]
        size, reorder, leaves = int(parts["size"]), int(parts["reorder"]), float(parts["leaves"])
        return cls(scann_ops.ScannState(tensors), size, reorder, leaves)

    def save(self, path: Path) -> None:
        """Write ScaNN's tensors and the search parameters."""
        tensors = {
            name: np.frombuffer(tf.io.serialize_tensor(getattr(self.state, name)).numpy(), np.uint8)
            for name in _TENSORS
        }
        settings = {"size": self.size, "reorder": self.reorder, "leaves": self.leaves}
        np.savez(path, kind=self.kind, **settings, **tensors)  # type: ignore[arg-type]

    def search(self, queries: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Searcher.search`."""
        searcher = scann_ops.searcher_from_module(self.state)
        found = tf.minimum(k, self.size)
        exactly = tf.minimum(tf.maximum(self.reorder, _doubled(2 * found, self.reorder)), self.size)
        leaves = max(1, math.ceil(self.leaves * math.sqrt(self.size)))
        rows, scores = searcher.search_batched(
            queries,
            final_num_neighbors=found,
            pre_reorder_num_neighbors=exactly,
            leaves_to_search=leaves if self.size >= _TREE_FROM else None,
        )
        # an empty batch comes back as [0, 0]; places without an item as row 0 with a score of NaN
        shape = tf.stack([tf.shape(queries)[0], found])
        rows, scores = tf.reshape(rows, shape), tf.reshape(scores, shape)
        phantom = tf.math.is_nan(scores)
        missing = [[0, 0], [0, k - found]]
        return (
            tf.pad(tf.where(phantom, -np.inf, scores), missing, constant_values=-np.inf),
            tf.pad(tf.where(phantom, NOTHING, rows), missing, constant_values=NOTHING),
        )


def _doubled(least: tf.Tensor, start: int) -> tf.Tensor:
    """The first of start, 2 start, 4 start, ... that is at least `least`: few steps, so that batches rarely differ."""
    times = tf.math.ceil(tf.math.log(tf.maximum(tf.cast(least, tf.float32) / start, 1.0)) / math.log(2.0))
    return start * tf.bitwise.left_shift(1, tf.cast(times, tf.int32))

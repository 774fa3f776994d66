"""Towers applied to whole tables and request sets, in blocks: the vectors that are searched."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from configs.schema import Config
from pipelines.dataset import Dataset
from pipelines.encoded import Encoded
from pipelines.evaluation.dot_product import DotProduct
from pipelines.mixing import Mixed
from pipelines.split import Cut
from pipelines.tables import Requests
from towers.backend import tf
from towers.retrieval import TwoTower

_BLOCK = 512


@dataclass(frozen=True)
class Vectors:
    """Vectors of fitted towers at one moment.

    static: [N, d + 1] content and bias of every item; trend: [N, t] at the moment; mixed: what is mixed in besides, of
    which there are s columns; queries come from `of`.
    """

    config: Config
    model: TwoTower
    encoded: Encoded
    trend: np.ndarray
    mixed: Mixed | None = None

    @cached_property
    def static(self) -> np.ndarray:
        """Content and bias of every item, [N, d + 1]."""
        rows = range(0, self.model.size, 8192)
        blocks = [np.arange(start, min(start + 8192, self.model.size)) for start in rows]
        return np.concatenate([self.model.item_vectors(tf.constant(block)).numpy() for block in blocks])

    @cached_property
    def items(self) -> np.ndarray:
        """Item vectors as the index holds them, [N, d + 1 + t + s]."""
        return self._joined(self.trend, self.mixed)

    def items_at(self, dataset: Dataset, cut: Cut) -> np.ndarray:
        """The same as an index of another cut holds them."""
        return self._joined(dataset.trend_at(cut), self.mixed and self.mixed.at(dataset, cut))

    def _joined(self, trend: np.ndarray, mixed: Mixed | None) -> np.ndarray:
        return np.concatenate([self.static, trend, *([mixed.items] if mixed else [])], axis=1)

    @cached_property
    def _history(self) -> tf.Tensor:
        return tf.constant(self.static)

    def of(self, requests: Requests) -> np.ndarray:
        """Query vectors, [R, d + 1 + t + s], or [R, m, d + 1 + t + s] where a query has several."""
        blocks = [self._of_block(block).numpy() for block in requests.blocks(_BLOCK)]
        if blocks:
            return np.concatenate(blocks)
        several = self.config.towers.query_vectors
        return np.zeros((0, *([several] if several > 1 else []), self.items.shape[1]), np.float32)

    def trace(self, like: Requests) -> None:
        """Make the model's graph for any number of requests, and with it all its weights; `like`: any of them."""
        shapes = {
            name: tf.TensorSpec([None, *value.shape[1:]], value.dtype) for name, value in self._inputs(like).items()
        }
        self.model.embed.get_concrete_function(shapes, tf.TensorSpec([None, *self._history.shape[1:]]))

    @cached_property
    def score(self) -> DotProduct:
        """Scores of the whole catalogue, [R, N]."""
        return DotProduct(self.of, self.items)

    def _of_block(self, requests: Requests) -> tf.Tensor:
        inputs = self._inputs(requests)
        vectors = self.model.embed({name: tf.constant(value) for name, value in inputs.items()}, self._history)
        if self.mixed is None:
            return vectors
        read = tf.constant(inputs["mask"].sum(axis=1), tf.int32)
        return self.mixed.mixing.extend(vectors, read, tf.constant(self.mixed.column[requests.query]))

    def _inputs(self, requests: Requests) -> dict[str, np.ndarray]:
        return request_inputs(requests, self.config.towers.history.length) | self.encoded.requests(requests)


def request_inputs(requests: Requests, length: int) -> dict[str, np.ndarray]:
    """The last `length` items of each history as the towers read them: item, mask, item_time, moment."""
    item = requests.history.last(length, fill=-1)
    mask = item >= 0
    item_time = np.where(mask, requests.history_time.last(length, fill=0), requests.time[:, None])
    return {
        "item": np.where(mask, item, 0).astype(np.int32),
        "mask": mask,
        "item_time": item_time,
        "moment": np.concatenate([item_time, requests.time[:, None]], axis=1),
    }

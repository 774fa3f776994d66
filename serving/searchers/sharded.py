"""An index in several parts, built one after the other: at no time is there more than one that is being built.

A build holds its vectors two or three times over; of a shard alone, that is little. A search asks every shard for all
k, as the best may all lie in one of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from serving.searchers.base import NOTHING, Searcher
from towers.backend import tf


class Sharded(tf.Module):
    """Searchers of one kind and layout over parts of the items, in the items' order. An effort that is set is that of
    all; before, each has its own."""

    def __init__(self, shards: Sequence[Searcher]) -> None:
        super().__init__()
        self.shards = list(shards)
        self.kind, self.layout_type = shards[0].kind, shards[0].layout_type
        self.size = sum(shard.size for shard in shards)
        self.layout = replace(shards[0].layout, shards=len(shards))
        starts = np.cumsum([0, *(shard.size for shard in shards[:-1])]).astype(np.int32)
        self.starts = tf.Variable(starts, trainable=False)  # may move: an index may be replaced after export

    @classmethod
    def build(cls, kind: type[Searcher], vectors: np.ndarray, layout: Any) -> Sharded:
        """Build over `vectors` [N, D] in `layout.shards` parts of nearly equal size, at most one an item."""
        bounds = np.linspace(0, len(vectors), min(layout.shards, len(vectors)) + 1).astype(int)
        each = replace(layout, shards=1)
        return cls([kind.build(vectors[start:end], each) for start, end in pairwise(bounds)])

    @classmethod
    def restore(cls, kind: type[Searcher], parts: Mapping[str, np.ndarray], shards: int) -> Sharded:
        """Rebuild from `arrays`."""
        return cls([kind.restore(_Part(parts, f"{place}/")) for place in range(shards)])

    @property
    def effort(self) -> Any:
        """That of the first shard, and once one is set of each."""
        return self.shards[0].effort

    @effort.setter
    def effort(self, effort: Any) -> None:
        for shard in self.shards:
            shard.effort = effort

    @property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """See `Searcher.arrays`: those of each shard, by its place."""
        return {
            f"{place}/{name}": part for place, shard in enumerate(self.shards) for name, part in shard.arrays.items()
        }

    def efforts(self, k: int) -> Sequence[Sequence[Any]]:
        """See `Searcher.efforts`."""
        return self.shards[0].efforts(k)

    def layouts(self) -> Sequence[Any]:
        """See `Searcher.layouts`: in as many shards."""
        return [replace(layout, shards=len(self.shards)) for layout in self.shards[0].layouts()]

    @property
    def parts(self) -> Mapping[str, tf.Variable]:
        """Where each shard starts, and the variables of each."""
        shards = enumerate(self.shards)
        return {"starts": self.starts} | {
            f"shards/{place}/{name}": part for place, shard in shards for name, part in shard.parts.items()
        }

    @property
    def nbytes(self) -> int:
        """See `Searcher.nbytes`."""
        return sum(shard.nbytes for shard in self.shards)

    def release(self) -> None:
        """See `Searcher.release`."""
        for shard in self.shards:
            shard.release()

    def cost(self, k: tf.Tensor) -> tf.Tensor:
        """See `Searcher.cost`: that of all shards."""
        return tf.add_n([shard.cost(k) for shard in self.shards])

    def search(self, queries: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Searcher.search`."""
        scores, rows = [], []
        for place, shard in enumerate(self.shards):
            found, within = shard.search(queries, k)
            scores.append(found)
            rows.append(tf.where(within < 0, NOTHING, within + self.starts[place]))
        best, order = tf.math.top_k(tf.concat(scores, axis=1), k)
        return best, tf.gather(tf.concat(rows, axis=1), order, axis=1, batch_dims=1)


class _Part(Mapping[str, np.ndarray]):
    """Arrays whose names have a prefix, read when they are asked for."""

    def __init__(self, parts: Mapping[str, np.ndarray], prefix: str) -> None:
        self._parts, self._prefix = parts, prefix

    def __getitem__(self, name: str) -> np.ndarray:
        return self._parts[self._prefix + name]

    def __iter__(self) -> Iterator[str]:
        return (name.removeprefix(self._prefix) for name in self._parts if name.startswith(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)

"""The contract of every searcher."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from towers.backend import tf

NOTHING = -1  # row of a place that holds no item


class Searcher(Protocol):
    """Maximum inner product search over N vectors of D dimensions."""

    kind: str
    size: int

    def search(self, queries: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Best `k` (scalar int32) of queries [B, D]: scores [B, k] best first, and rows [B, k] int32.

        Where fewer than k items are found, rows end in `NOTHING` and scores in -inf; an item is found once.
        """

    def save(self, path: Path) -> None:
        """Write everything that a search needs to one .npz file."""

    @classmethod
    def build(cls, vectors: np.ndarray) -> Searcher:
        """Build over `vectors` [N, D] float32."""

    @classmethod
    def restore(cls, parts: Mapping[str, np.ndarray]) -> Searcher:
        """Rebuild from the arrays that `save` wrote."""

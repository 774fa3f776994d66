"""Searchers: the k items with the largest inner product, behind one contract.

`build_searcher` makes the one that the config names; every searcher is a `tf.Module` that runs eagerly, inside
an exported graph, and from a saved file alike.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from serving.searchers.base import Searcher
from serving.searchers.exact import Exact
from serving.searchers.scann import Scann

_KINDS: dict[str, type[Exact] | type[Scann]] = {"exact": Exact, "scann": Scann}
EXACT_BELOW = 20_000  # ScaNN's own guidance: below this, brute force is as fast


def build_searcher(name: str, vectors: np.ndarray) -> Searcher:
    """Build a searcher over `vectors` [N, D] float32; name is "exact", "scann" or "auto"."""
    if name == "auto":
        name = "exact" if len(vectors) < EXACT_BELOW else "scann"
    return _KINDS[name].build(vectors)


def load_searcher(path: Path) -> Searcher:
    """Read what `Searcher.save` wrote."""
    with np.load(path, allow_pickle=False) as saved:
        parts = dict(saved)
    return _KINDS[str(parts.pop("kind"))].restore(parts)


__all__ = ["Exact", "Scann", "Searcher", "build_searcher", "load_searcher"]

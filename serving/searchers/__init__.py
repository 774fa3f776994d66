"""Searchers: the k items with the largest inner product, behind one contract.

`build_searcher` makes the one that the config names; every searcher is a `tf.Module` that runs eagerly, inside
an exported graph, and from a saved file alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from serving.searchers.base import Searcher
from serving.searchers.exact import Exact
from serving.searchers.ivf import Ivf
from serving.searchers.scann import Scann
from serving.searchers.several import search

_KINDS: dict[str, type[Searcher]] = {"exact": Exact, "scann": Scann, "ivf": Ivf}
EXACT_BELOW = 20_000  # ScaNN's own guidance: below this, brute force is as fast


def build_searcher(name: str, vectors: np.ndarray, layout: Any = None) -> Searcher:
    """Build a searcher over `vectors` [N, D] float32; name is "exact", "scann", "ivf" or "auto", layout one of the
    kind's own."""
    return _KINDS[kind_of(name, len(vectors))].build(vectors, layout)


def kind_of(name: str, items: int) -> str:
    """The kind that a name stands for, over so many items: "auto" goes by their number."""
    if name != "auto":
        return name
    return "exact" if items < EXACT_BELOW else "scann"


def layout_of(name: str, numbers: Mapping[str, float]) -> Any:
    """A layout of the kind `name` from its numbers by name; None where the kind has none.

    Raises: TypeError for other numbers.
    """
    of = _KINDS[name].layout_type
    return of(**numbers) if of else None


def load_searcher(path: Path) -> Searcher:
    """Read what `Searcher.save` wrote."""
    with np.load(path, allow_pickle=False) as saved:
        parts = dict(saved)
    return _KINDS[str(parts.pop("kind"))].restore(parts)


__all__ = ["Exact", "Ivf", "Scann", "Searcher", "build_searcher", "kind_of", "layout_of", "load_searcher", "search"]

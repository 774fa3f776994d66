"""Searchers: the k items with the largest inner product, behind one contract.

`build_searcher` makes the one that the config names; every searcher is a `tf.Module` that runs eagerly, inside
an exported graph, and from a saved file alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from serving.searchers.base import Searcher
from serving.searchers.exact import Exact
from serving.searchers.ivf import Ivf
from serving.searchers.scann import Scann
from serving.searchers.several import cost, search
from serving.searchers.sharded import Sharded

_KINDS: dict[str, type[Searcher]] = {"exact": Exact, "scann": Scann, "ivf": Ivf}
EXACT_BELOW = 20_000  # ScaNN's own guidance: below this, brute force is as fast


def build_searcher(name: str, vectors: np.ndarray, layout: Any = None) -> Searcher:
    """Build a searcher over `vectors` [N, D] float32; name is "exact", "scann", "ivf" or "auto", layout one of the
    kind's own."""
    kind = _KINDS[kind_of(name, len(vectors))]
    if min(_shards(layout), len(vectors)) > 1:
        return Sharded.build(kind, vectors, layout)
    return kind.build(vectors, replace(layout, shards=1) if layout else None)


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


def sharded_layout(kind: str, items: int, shards: int) -> Any:
    """The usual layout of a kind over so many items in so many parts; None where the kind has none."""
    of: Any = _KINDS[kind].layout_type
    return replace(of.of(math.ceil(items / shards)), shards=shards) if of else None


def save_searcher(searcher: Searcher, path: Path) -> None:
    """Write everything that a search needs to one .npz file."""
    np.savez(path, kind=searcher.kind, shards=_shards(searcher.layout), **searcher.arrays)  # type: ignore[arg-type]


def load_searcher(path: Path) -> Searcher:
    """Read what `save_searcher` wrote, an array at a time."""
    with np.load(path, allow_pickle=False) as saved:
        kind = _KINDS[str(saved["kind"])]
        shards = int(saved["shards"]) if "shards" in saved else 1  # earlier files say nothing of them
        return Sharded.restore(kind, saved, shards) if shards > 1 else kind.restore(saved)


def _shards(layout: Any) -> int:
    return layout.shards if layout else 1


__all__ = [
    "Exact",
    "Ivf",
    "Scann",
    "Searcher",
    "build_searcher",
    "cost",
    "kind_of",
    "layout_of",
    "load_searcher",
    "save_searcher",
    "search",
    "sharded_layout",
]

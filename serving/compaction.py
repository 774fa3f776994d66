"""What stands beside an index taken into it: the index built anew, of the same kind and layout, over what may be shown.

The graph stays as it is, and so does how hard it searches; its variables take an index of any size.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from serving.delta import Variables, whole_vectors
from serving.searchers import Searcher, build_searcher, layout_of
from towers.backend import tf


class CannotCompact(Exception):
    """An index cannot be built again over what is left."""


def index_facts(searcher: Searcher) -> dict[str, Any]:
    """What a manifest must say of its index, so that it can be built again."""
    return {"layout": asdict(searcher.layout) if searcher.layout else {}}


def compacted(variables: Variables, kind: str, layout: dict[str, float]) -> dict[str, np.ndarray]:
    """The variables of a bundle with an empty delta; kind and layout (numbers by name) are those of its index.

    Raises: CannotCompact where the items that are left are none, or too few for that layout.
    """
    rows = np.flatnonzero(variables["retrieval/listed"]).astype(np.int32)
    if not len(rows):
        raise CannotCompact("no item is left that may be shown")
    vectors = whole_vectors(variables, rows)
    try:
        searcher = build_searcher(kind, vectors, layout_of(kind, layout))
    except tf.errors.InvalidArgumentError as error:  # codes or leaves that so few items cannot fill
        said = str(error.message).strip().splitlines()[0]
        raise CannotCompact(f"{kind} cannot be built over {len(rows):,} items with {layout} ({said})") from None
    if layout and searcher.layout.shards != layout.get("shards", 1):  # the graph searches so many
        raise CannotCompact(f"{len(rows):,} items are too few for {layout}")
    changed = dict(variables)
    for name, part in searcher.parts.items():
        changed[f"retrieval/searcher/{name}"] = part.numpy()
    changed["retrieval/indexed"] = rows
    changed["retrieval/replaced"] = np.zeros_like(variables["retrieval/replaced"])
    changed["retrieval/current"] = np.array(1.0, np.float32)
    changed["retrieval/delta"] = np.zeros(0, np.int32)
    changed["retrieval/delta_vectors"] = vectors[:0]
    return changed

"""The log grouped by query: what each query did, in order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.tables import Interactions


@dataclass(frozen=True)
class Sequences:
    """Interactions sorted by query, then time; events of query q are `starts[q]:starts[q + 1]`; arrays [n]."""

    starts: np.ndarray
    query: np.ndarray
    item: np.ndarray
    time: np.ndarray
    weight: np.ndarray
    context: dict[str, np.ndarray]

    @classmethod
    def of(cls, interactions: Interactions, queries: int) -> Sequences:
        """Group the log of `queries` queries."""
        order = np.argsort(interactions.query, kind="stable")
        starts = np.zeros(queries + 1, np.int64)
        np.cumsum(np.bincount(interactions.query, minlength=queries), out=starts[1:])
        return cls(
            starts,
            interactions.query[order],
            interactions.item[order],
            interactions.time[order],
            interactions.weight[order],
            {name: column[order] for name, column in interactions.context.items()},
        )

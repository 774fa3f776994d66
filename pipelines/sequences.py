"""The log grouped by query: what each query did, in order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.tables import Interactions


@dataclass(frozen=True)
class Sequences:
    """Interactions sorted by query, then time; events of query q are `starts[q]:starts[q + 1]`; arrays [n].

    weight: what each event counts as a target, its strength times its value, relative to the most that any counts.
    """

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
            _relative(interactions)[order],
            {name: column[order] for name, column in interactions.context.items()},
        )


def _relative(interactions: Interactions) -> np.ndarray:
    """Weight times value, in float64, where it cannot overflow, and then relative to the most, float32."""
    worth = interactions.weight.astype(np.float64) * (1.0 if interactions.value is None else interactions.value)
    return (worth / max(worth.max(initial=0.0), np.finfo(np.float64).tiny)).astype(np.float32)

"""Is this a recommendation problem: is there more to choose from than can be shown, and do people come back for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.diagnose.observed import Observed

_DAY = 86_400


@dataclass(frozen=True)
class Problem:
    """items: the catalogue; taken: those with an event; slots: what one list shows (gate.list_k); events, queries.

    repeats: share of events that say of a query and an item what an earlier event of the same kind had said;
    later_repeats: of those only what comes a day or more after it, NaN without a clock; repeats_by_kind: `repeats`
    among the events of each kind.
    """

    items: int
    taken: int
    slots: int
    events: int
    queries: int
    repeats: float
    later_repeats: float
    repeats_by_kind: dict[str, float]

    @property
    def choice(self) -> float:
        """How many times over the catalogue would fill the list."""
        return self.items / self.slots


def problem(observed: Observed) -> Problem:
    """Count what there is to choose from, and repeats."""
    log, kinds = observed.log, observed.tables.kinds
    since = _since_same(observed)
    again = since >= 0
    totals = np.bincount(kinds.codes, minlength=len(kinds.categories))
    repeats = np.bincount(kinds.codes[again], minlength=len(kinds.categories))
    return Problem(
        items=observed.n_items,
        taken=len(np.unique(log.item)),
        slots=observed.config.gate.list_k,
        events=len(log),
        queries=observed.n_queries,
        repeats=float(again.mean()),
        later_repeats=float((since >= _DAY).mean()) if observed.clock else float("nan"),
        repeats_by_kind={
            str(kind): float(part / whole)
            for kind, part, whole in zip(kinds.categories, repeats, totals, strict=True)
            if whole
        },
    )


def _since_same(observed: Observed) -> np.ndarray:
    """Time since the last event of the same query, item and kind, int64 [n]; -1 where there is none."""
    log, kinds = observed.log, observed.tables.kinds
    key = (log.query.astype(np.int64) * observed.n_items + log.item) * len(kinds.categories) + kinds.codes
    order = np.argsort(key, kind="stable")
    same = key[order[1:]] == key[order[:-1]]
    since = np.full(len(log), -1, np.int64)
    since[order[1:][same]] = (log.time[order[1:]] - log.time[order[:-1]])[same]
    return since

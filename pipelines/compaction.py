"""When an index is built again over what may be shown, and what must hold before it is published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from configs.errors import UserError
from configs.schema import Config
from pipelines.evaluation.bootstrap import Interval
from pipelines.index.served import served_recall
from pipelines.index.size import DoesNotFit, estimate, free_memory, refuse_what_does_not_fit
from serving.bundle import Bundle
from serving.compaction import CannotCompact, compacted
from serving.delta import Outcome, Variables

_FREE = 1_000  # items that may stand beside an index, and be out of date in it, whatever its size


def room(indexed: int, share: float) -> int:
    """How many items may stand beside an index of so many, and how many in it be out of date; index.delta = share."""
    return max(_FREE, round(share * indexed))


def compact_if_due(
    manifest: Mapping[str, Any], config: Config, variables: dict[str, np.ndarray], outcome: Outcome, asked: bool
) -> tuple[dict[str, np.ndarray], Outcome, bool]:
    """The variables, and what an upsert did, after compaction, and whether there was one.

    It is due where it is asked for, or more stands beside the index, or is out of date in it, than `room` allows. What
    is only out of date costs time, so where the index cannot be built again for that it stays.
    Raises: UserError where it must be built again and cannot be.
    """
    most = room(outcome.indexed, config.index.delta)
    needed = asked or outcome.delta > most
    if not needed and outcome.dead <= most:
        return variables, outcome, False
    items, width = int(variables["retrieval/listed"].sum()), variables["retrieval/delta_vectors"].shape[1]
    try:
        kind, layout = manifest["searcher"], _layout(manifest)
        wanted = estimate(kind, items, width, builds=1, shards=int(layout.get("shards", 1)))
        refuse_what_does_not_fit(wanted, free_memory())
        changed = compacted(variables, kind, layout)
    except (CannotCompact, DoesNotFit) as error:
        if not needed:
            return variables, outcome, False
        if isinstance(error, DoesNotFit):
            raise
        why = "" if asked else f"{outcome.delta:,} items beside an index of {outcome.indexed:,}, at most {most:,}: "
        raise UserError(f"upsert: {why}the index must be built again, and {error}: run the pipeline again") from None
    return changed, replace(outcome, delta=0, dead=0, indexed=len(changed["retrieval/indexed"])), True


def judged(bundle: Bundle, variables: Variables) -> Interval:
    """What the index built again retrieves. Raises: UserError unless that surely clears the gate's floor."""
    floor, k = bundle.config.gate.floors.searcher_recall, bundle.config.index.candidates
    found = served_recall(bundle, variables, k)
    if not found.low >= floor:  # nor where there are no queries: it is not a number then
        raise UserError(
            f"upsert: the index built again retrieves {found.mean:.4f} [{found.low:.4f}, {found.high:.4f}] of the {k} "
            f"best for {found.n} stored queries, expected surely {floor:g}; nothing was published: run the pipeline "
            "again"
        )
    return found


def tuned(found: Interval, k: int) -> dict[str, Any]:
    """What the manifest says of the new index in place of what tuning measured of the first one."""
    return {"k": k, "recall": found.mean, "low": found.low, "queries": found.n, "microseconds": None}


def _layout(manifest: Mapping[str, Any]) -> dict[str, float]:
    if "index" not in manifest:
        raise CannotCompact("the bundle's graph takes no index of another size, as older exports do not")
    return manifest["index"]["layout"]

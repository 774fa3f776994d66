"""What the final metric would be if ranking were perfect, after each stage: which stage costs what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.evaluation.bootstrap import Interval, intervals
from pipelines.evaluation.compared import samples_for
from pipelines.evaluation.funnel import Stages
from pipelines.evaluation.metrics import at_depths, hits
from pipelines.evaluation.stored import load, save
from pipelines.tables import Candidates, Ragged

METRICS = ("ndcg", "recall", "capped_recall", "hit_rate")
_FILE = "ceilings.json"


@dataclass(frozen=True)
class Ceiling:
    """One way to fill the list: measures by metric, "ndcg@10"; perfect: by an oracle that knows the targets."""

    name: str
    perfect: bool
    measures: dict[str, Interval]


@dataclass(frozen=True)
class Ceilings:
    """From what the whole catalogue would allow down to what is shown."""

    list_k: int
    rows: tuple[Ceiling, ...]


def ceilings(stages: Stages, targets: Ragged, list_k: int) -> Ceilings:
    """Oracle lists out of the catalogue, the exact best K and the retrieved K, beside the lists that were made.

    An oracle puts the targets that it is given first. Of the whole catalogue its NDCG is 1, and its recall as far
    below 1 as requests have more targets than the list has places.
    """
    lists = {
        "perfect ranking of the catalogue": _first(targets, list_k),
        "perfect ranking of the exact best": oracle(stages.exact, targets, list_k),
        "perfect ranking of the retrieved": oracle(stages.retrieved, targets, list_k),
        "towers": stages.retrieved[:, :list_k],
        "towers + ranker": stages.ranked[:, :list_k],
        "final list": stages.shown[:, :list_k],
    }
    return Ceilings(
        list_k,
        tuple(Ceiling(name, name.startswith("perfect"), _measures(items, targets)) for name, items in lists.items()),
    )


def oracle(items: np.ndarray, targets: Ragged, k: int) -> np.ndarray:
    """The best list of k that can be made of `items` [R, K]: the targets among them first, [R, k]."""
    found = hits(_listed(items), targets, items.shape[1])
    order = np.argsort(~found, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(items, order, axis=1)


def save_ceilings(found: Ceilings, folder: Path) -> None:
    """Write ceilings.json."""
    save(found, folder / _FILE)


def load_ceilings(folder: Path) -> Ceilings:
    """Read what `save_ceilings` wrote."""
    return load(Ceilings, folder / _FILE)


def _first(targets: Ragged, k: int) -> np.ndarray:
    """The first k targets of each request, -1 where there are fewer, [R, k]."""
    within = np.arange(len(targets.values)) - targets.starts[targets.rows]
    items = np.full((len(targets), k), -1, np.int32)
    kept = within < k
    items[targets.rows[kept], within[kept]] = targets.values[kept]
    return items


def _measures(items: np.ndarray, targets: Ragged) -> dict[str, Interval]:
    k = items.shape[1]
    found = at_depths(_listed(items), targets, [k])
    names = [f"{metric}@{k}" for metric in METRICS]
    values = np.stack([found[name] for name in names])
    return dict(zip(names, intervals(values, samples=samples_for(values.shape[1])), strict=True))


def _listed(items: np.ndarray) -> Candidates:
    return Candidates(items, np.zeros(items.shape, np.float32), "list")

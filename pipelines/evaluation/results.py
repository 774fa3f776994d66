"""Results of one contender: per-request metrics, kept so that any two contenders can be compared in pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.evaluation.metrics import at_depths
from pipelines.tables import Candidates, Ragged


@dataclass(frozen=True)
class Results:
    """items: [R, k] what was recommended; metrics by "name@k", each [R], at the candidates' k and the list's."""

    items: np.ndarray
    metrics: dict[str, np.ndarray]

    @classmethod
    def of(cls, candidates: Candidates, targets: Ragged, *depths: int) -> Results:
        """Measure `candidates` against `targets` at each depth that the candidates reach."""
        reached = [k for k in depths if k <= candidates.items.shape[1]]
        return cls(candidates.items, at_depths(candidates, targets, reached))

    def mean(self, metric: str) -> float:
        """Mean over requests."""
        return float(self.metrics[metric].mean())


def save_results(results: Mapping[str, Results], path: Path) -> None:
    """Write results of several contenders to one .npz file."""
    arrays: dict[str, np.ndarray] = {}
    for name, result in results.items():
        arrays[f"{name}\titems"] = result.items
        arrays |= {f"{name}\t{metric}": values for metric, values in result.metrics.items()}
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def load_results(path: Path) -> dict[str, Results]:
    """Read what `save_results` wrote, in the same order."""
    found: dict[str, dict[str, np.ndarray]] = {}
    with np.load(path) as saved:
        for key in saved.files:
            name, metric = key.split("\t")
            found.setdefault(name, {})[metric] = saved[key]
    return {name: Results(metrics.pop("items"), metrics) for name, metrics in found.items()}

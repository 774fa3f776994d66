"""Metrics among each request's targets and a few sampled items: only to stand beside tables published so.

They are kept apart from all else, and every name says so: sampled metrics can order two recommenders the other way
round than the whole catalogue does (Krichene and Rendle, KDD 2020), and nothing is decided by them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.dataset import Dataset
from pipelines.evaluation.bootstrap import Interval, intervals
from pipelines.evaluation.compared import samples_for
from pipelines.evaluation.metrics import at_depths
from pipelines.evaluation.ranking import Scorer, rank_sampled
from pipelines.evaluation.stored import load, save

_FILE = "sampled.json"


@dataclass(frozen=True)
class SampledRow:
    """One contender, "towers (sampled)"; measures by metric, "ndcg@10"."""

    name: str
    measures: dict[str, Interval]


@dataclass(frozen=True)
class Sampled:
    """negatives: items drawn for each request; every contender met the same."""

    negatives: int
    requests: int
    rows: tuple[SampledRow, ...]


def sampled(dataset: Dataset, contenders: Mapping[str, Scorer]) -> Sampled:
    """Measure contenders that are fitted as of the test cut, as `evaluation.sampled_negatives` says."""
    negatives, requests = dataset.config.evaluation.sampled_negatives, dataset.test_requests
    eligible, depths = dataset.eligible(dataset.cuts.test), dataset.depths
    rows = []
    for name, scorer in contenders.items():
        found = rank_sampled(scorer, requests, max(depths), eligible, negatives, dataset.config.seed)
        metrics = at_depths(found, requests.targets, depths)
        measures = intervals(np.stack(list(metrics.values())), samples=samples_for(len(requests)))
        rows.append(SampledRow(f"{name} (sampled)", dict(zip(metrics, measures, strict=True))))
    return Sampled(negatives, len(requests), tuple(rows))


def save_sampled(found: Sampled, folder: Path) -> None:
    """Write sampled.json."""
    save(found, folder / _FILE)


def load_sampled(folder: Path) -> Sampled | None:
    """Read what `save_sampled` wrote; None where nothing was sampled."""
    return load(Sampled, folder / _FILE) if (folder / _FILE).is_file() else None

"""What the single stages of a run left behind: training, the searcher, the ranker, the export."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from configs.schema import Config
from pipelines.evaluation.bootstrap import Interval
from pipelines.evaluation.results import Results
from pipelines.report.curves import Curve, curves
from pipelines.report.standings import difference
from pipelines.verdicts import Verdict, from_json


@dataclass(frozen=True)
class Training:
    """The fit of the towers: best epoch of those run, its validation recall, and the curves by tag."""

    best_epoch: int
    best_recall: float
    epochs: int
    max_epochs: int
    curves: dict[str, Curve] = field(default_factory=dict)


@dataclass(frozen=True)
class Ranking:
    """What ranking and reranking are worth.

    held_out, retrieval_held_out: NDCG on the ranker's own held-out queries; gain: ranked candidates over the
    towers' order, on the test requests; rerank: final list over ranked candidates, there too.
    """

    epoch: int
    held_out: float
    retrieval_held_out: float
    gain: Interval | None
    rerank: Interval | None


@dataclass(frozen=True)
class Replay:
    """Share of ids in which the exported graph agrees with the offline lists, and the checks of it."""

    requests: int
    python: float
    c_loader: float
    verdicts: tuple[Verdict, ...]


def training_part(config: Config, folder: Path) -> Training:
    """Read the train stage's folder."""
    fitted = _read(folder / "fitted.json")
    found = curves(folder / "tensorboard")
    kept = {tag: curve for tag, curve in found.items() if tag.startswith(("towers/", "refit/"))}
    return Training(fitted["best_epoch"], fitted["best_recall"], fitted["epochs"], config.train.max_epochs, kept)


def ranking_part(config: Config, folder: Path, ours: Mapping[str, Results]) -> Ranking:
    """Read the rank stage's folder; `ours` holds the results of the model's stages."""
    fitted, metric = _read(folder / "fitted.json"), f"ndcg@{config.gate.list_k}"
    return Ranking(
        int(fitted["epoch"]),
        fitted["ndcg"],
        fitted["retrieval_ndcg"],
        _gain(ours, "towers + ranker", "towers", metric),
        _gain(ours, "final list", "towers + ranker", metric),
    )


def replay_part(folder: Path) -> Replay:
    """Read the export stage's folder."""
    found = _read(folder / "replay.json")
    verdicts = map(from_json, _read(folder / "bundle" / "manifest.json")["verdicts"])
    kept = tuple(verdict for verdict in verdicts if verdict.gate == "replay")
    return Replay(int(found["requests"]), found["python"], found["c_loader"], kept)


def _gain(results: Mapping[str, Results], name: str, over: str, metric: str) -> Interval | None:
    if name not in results or over not in results:
        return None
    return difference(results[name].metrics[metric], results[over].metrics[metric])


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))

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
from pipelines.verdicts import CORE_RECALL, Verdict, from_json


@dataclass(frozen=True)
class Training:
    """The fit of the towers: best epoch of those run, its validation recall, and the curves by tag."""

    best_epoch: int
    best_recall: float
    epochs: int
    max_epochs: int
    curves: dict[str, Curve] = field(default_factory=dict)

    @property
    def cut_short(self) -> bool:
        """Whether the last epoch that was allowed was the best."""
        return self.best_epoch == self.max_epochs


@dataclass(frozen=True)
class Ranking:
    """What ranking and reranking are worth.

    chosen_on, towers_there: NDCG on the requests that the ranker is chosen on, and of the towers' order there;
    gain: ranked candidates over the towers' order, on the test requests; rerank: final list over ranked candidates,
    there too.
    """

    epoch: int
    chosen_on: float
    towers_there: float
    gain: Interval | None
    rerank: Interval | None


@dataclass(frozen=True)
class Replay:
    """Share of ids in which the exported graph agrees with the offline lists, and the checks of it.

    core: the same of the second export, of core operations, through the C loader; shared: the share of the first one's
    candidates that it finds; None where there is none.
    """

    requests: int
    python: float
    c_loader: float
    verdicts: tuple[Verdict, ...]
    core: float | None = None
    shared: float | None = None


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
    found, verdicts = _read(folder / "replay.json"), _export_verdicts(folder / "bundle")
    first = int(found["requests"]), found["python"], found["c_loader"]
    if not (folder / "replay-core.json").is_file():
        return Replay(*first, verdicts)
    core = _read(folder / "replay-core.json")
    return Replay(*first, verdicts + _export_verdicts(folder / "bundle-core"), core["c_loader"], core["shared"])


def _export_verdicts(bundle: Path) -> tuple[Verdict, ...]:
    """The verdicts on an export, not those on the model."""
    verdicts = map(from_json, _read(bundle / "manifest.json")["verdicts"])
    return tuple(one for one in verdicts if one.gate == "replay" or one.metric == CORE_RECALL)


def _gain(results: Mapping[str, Results], name: str, over: str, metric: str) -> Interval | None:
    if name not in results or over not in results:
        return None
    return difference(results[name].metrics[metric], results[over].metrics[metric])


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))

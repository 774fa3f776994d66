"""The summary of a run: what its stages found, compared and concluded, as plain values."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import DataError
from configs.load import fingerprint
from configs.schema import Config
from configs.version import VERSION
from pipelines.dataset import Dataset, load_dataset
from pipelines.evaluation.metrics import exposure
from pipelines.evaluation.results import Results, load_results
from pipelines.report.cautions import Caution, model_cautions, protocol_cautions
from pipelines.report.contenders import OURS, Contenders, contenders
from pipelines.report.data import DataPart, data_part
from pipelines.report.decision import Decision, decide
from pipelines.report.experiment import Experiment, experiment
from pipelines.report.parts import (
    Ranking,
    Replay,
    Training,
    Tuning,
    ranking_part,
    replay_part,
    training_part,
    tuning_part,
)
from pipelines.tables import Candidates
from pipelines.verdicts import Verdict, load_verdicts

STAGES = ("prepare", "baselines", "train", "index", "gate", "rank", "export")
_MOST_SHOWN = 10


@dataclass(frozen=True)
class Shown:
    """An item and the share of final lists that show it."""

    item: str
    title: str
    share: float


@dataclass(frozen=True)
class Summary:
    """One run. A part is None, or empty, where its stage has not run yet; `missing` names those stages."""

    name: str
    run: str
    fingerprint: str
    version: str
    python: str
    config: dict[str, Any]
    missing: tuple[str, ...]
    data: DataPart | None
    contenders: Contenders | None
    popularity: str | None  # the one chosen on validation, which is what is published as a policy
    verdicts: tuple[Verdict, ...]
    exact: dict[str, float]  # exact search by the towers, by metric
    training: Training | None
    tuning: Tuning | None
    ranking: Ranking | None
    replay: Replay | None
    most_shown: tuple[Shown, ...]
    experiment: Experiment | None
    decision: Decision
    cautions: tuple[Caution, ...]

    def of_gate(self, gate: str) -> tuple[Verdict, ...]:
        """The verdicts of one gate."""
        return tuple(verdict for verdict in self.verdicts if verdict.gate == gate)

    def by_metric(self, gate: str) -> tuple[tuple[str, tuple[Verdict, ...]], ...]:
        """The verdicts of one gate, grouped by metric."""
        found = self.of_gate(gate)
        metrics = dict.fromkeys(verdict.metric for verdict in found)
        return tuple((metric, tuple(v for v in found if v.metric == metric)) for metric in metrics)

    @property
    def gates(self) -> tuple[str, ...]:
        """Names of the gates that have run, in order."""
        return tuple(dict.fromkeys(verdict.gate for verdict in self.verdicts))


def summarise(config: Config, results: Mapping[str, Path]) -> Summary:
    """Read the folders of the finished stages (by name) and compare what they hold."""
    there = {name: results[name] for name in STAGES if name in results}
    dataset, problem = _dataset(config, there)
    baselines = load_results(there["baselines"] / "results.npz") if "baselines" in there else {}
    gate = load_results(there["gate"] / "results.npz") if "gate" in there else {}
    ours = gate | (load_results(there["rank"] / "results.npz") if "rank" in there else {})
    ours = {name: ours[name] for name in OURS if name in ours}
    verdicts = tuple(v for stage in ("gate", "rank") if stage in there for v in _verdicts(there[stage]))

    data = data_part(there["prepare"], dataset) if "prepare" in there else None
    training = training_part(config, there["train"]) if "train" in there else None
    tuning = tuning_part(config, there["index"]) if "index" in there else None
    ranking = ranking_part(config, there["rank"], ours) if "rank" in there else None
    replay = replay_part(there["export"]) if "export" in there else None
    table = test = None
    if dataset is not None and (baselines or ours):
        table = contenders(config, baselines, ours, dataset.eligible(dataset.cuts.test))
        test = _experiment(config, dataset, table, baselines, ours)
    run = _run_folder(config, there)
    cautions = [Caution("warning", problem)] if problem else []
    cautions += [*protocol_cautions(config, data), *model_cautions(table, verdicts, training, tuning, ranking)]
    return Summary(
        name=config.name,
        run=run,
        fingerprint=fingerprint(config),
        version=VERSION,
        python=platform.python_version(),
        config=config.model_dump(mode="json"),
        missing=tuple(name for name in STAGES if name not in there),
        data=data,
        contenders=table,
        popularity=_chosen(there),
        verdicts=verdicts,
        exact=_exact(config, gate),
        training=training,
        tuning=tuning,
        ranking=ranking,
        replay=replay,
        most_shown=most_shown(dataset, ours["final list"]) if dataset is not None and "final list" in ours else (),
        experiment=test,
        decision=decide(config, run, table, verdicts, test, ranking, replay),
        cautions=tuple(sorted(cautions, key=lambda caution: caution.level != "warning")),
    )


def most_shown(dataset: Dataset, result: Results) -> tuple[Shown, ...]:
    """The items that the most lists show."""
    counts = exposure(Candidates(result.items, result.items, "list"), dataset.n_items, result.items.shape[1])
    top = np.argsort(-counts, kind="stable")[:_MOST_SHOWN]
    items = dataset.tables.items
    return tuple(
        Shown(str(items["item"].iloc[row]), str(items["title"].iloc[row]), float(counts[row] / len(result.items)))
        for row in top
        if counts[row]
    )


def _dataset(config: Config, there: Mapping[str, Path]) -> tuple[Dataset | None, str | None]:
    """The prepared log, or why it cannot be split: a report of data that is too small should say so."""
    if "prepare" not in there:
        return None, None
    try:
        return load_dataset(config, there["prepare"]), None
    except DataError as error:
        return None, str(error)


def _experiment(
    config: Config,
    dataset: Dataset,
    table: Contenders,
    baselines: Mapping[str, Results],
    ours: Mapping[str, Results],
) -> Experiment | None:
    if "final list" not in ours or not table.best_baseline:
        return None
    rival = table.best_baseline[table.metrics[0]]
    log = dataset.log if config.data.events.time is not None else None
    return experiment(ours["final list"], rival, baselines[rival], config.gate.list_k, log)


def _verdicts(folder: Path) -> list[Verdict]:
    return load_verdicts(folder / "verdicts.json")


def _exact(config: Config, gate: Mapping[str, Results]) -> dict[str, float]:
    name, metric = "towers, exact search", f"recall@{config.gate.k}"
    return {metric: gate[name].mean(metric)} if name in gate else {}


def _chosen(there: Mapping[str, Path]) -> str | None:
    if "baselines" not in there:
        return None
    return json.loads((there["baselines"] / "popularity.json").read_text(encoding="utf-8"))["chosen"]


def _run_folder(config: Config, there: Mapping[str, Path]) -> str:
    """The run's folder as it would be typed here; its usual name where the stages do not share a folder."""
    parents = {path.parent for path in there.values()}
    if len(parents) != 1:
        return f"runs/{config.name}-{fingerprint(config)}"
    folder = parents.pop()
    relative = os.path.relpath(folder)
    return str(folder) if relative.startswith("..") else relative

"""The summary of a run: what its stages found, compared and concluded, as plain values."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import DataError
from configs.load import fingerprint
from configs.schema import Config
from configs.version import VERSION
from pipelines.baselines.record import Tuning, load_tuning
from pipelines.dataset import Dataset, load_dataset
from pipelines.evaluation.leaderboard import load_leaderboard
from pipelines.evaluation.metrics import exposure
from pipelines.evaluation.results import Results, load_results
from pipelines.evaluation.scoreboard import Scoreboard, scoreboard
from pipelines.index.record import IndexTuning, load_core_tuning, load_index_tuning
from pipelines.report.cautions import Caution, model_cautions, protocol_cautions
from pipelines.report.data import DataPart, data_part
from pipelines.report.decision import Decision, decide
from pipelines.report.environment import Environment, environment
from pipelines.report.evaluated import Evaluated, evaluated_part
from pipelines.report.evidence import Evidence
from pipelines.report.experiment import Experiment, experiment
from pipelines.report.parts import (
    Ranking,
    Replay,
    Training,
    ranking_part,
    replay_part,
    training_part,
)
from pipelines.report.regressions import of_gates, of_slices, small, too_few
from pipelines.report.standings import OURS, Standings, standings
from pipelines.rolling.results import Replay as Rolling
from pipelines.rolling.results import load_rolling
from pipelines.tables import Candidates
from pipelines.verdicts import Verdict, load_verdicts

STAGES = ("prepare", "baselines", "train", "index", "gate", "rank", "evaluate", "export")
OPTIONAL = ("rolling",)
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
    environment: Environment
    config: dict[str, Any]
    missing: tuple[str, ...]
    data: DataPart | None
    board: Standings | None
    baselines: Tuning | None
    popularity: str | None  # the one chosen on validation, which is what is published as a policy
    verdicts: tuple[Verdict, ...]
    exact: dict[str, float]  # exact search by the towers, by metric
    training: Training | None
    searcher: IndexTuning | None
    core: IndexTuning | None  # the searcher of the second export, where there is one
    ranking: Ranking | None
    replay: Replay | None
    evaluated: Evaluated | None
    rolling: Rolling | None
    most_shown: tuple[Shown, ...]
    experiment: Experiment | None
    decision: Decision
    cautions: tuple[Caution, ...]

    def of_gate(self, gate: str) -> tuple[Verdict, ...]:
        """The verdicts of one gate."""
        return tuple(verdict for verdict in self.verdicts if verdict.gate == gate)

    @property
    def headline(self) -> tuple[str, str]:
        """The metric of the list, and that of the candidates."""
        gate = self.config["gate"]
        return f"ndcg@{gate['list_k']}", f"recall@{gate['k']}"

    @property
    def gates(self) -> tuple[str, ...]:
        """Names of the gates that have run, in order."""
        return tuple(dict.fromkeys(verdict.gate for verdict in self.verdicts))


def summarise(config: Config, results: Mapping[str, Path]) -> Summary:
    """Read the folders of the finished stages (by name) and compare what they hold."""
    there = {name: results[name] for name in (*STAGES, *OPTIONAL) if name in results}
    dataset, problem = _dataset(config, there)
    baselines = load_results(there["baselines"] / "results.npz") if "baselines" in there else {}
    gate = load_results(there["gate"] / "results.npz") if "gate" in there else {}
    ours = gate | (load_results(there["rank"] / "results.npz") if "rank" in there else {})
    ours = {name: ours[name] for name in OURS if name in ours}
    verdicts = tuple(v for stage in ("gate", "rank") if stage in there for v in _verdicts(there[stage]))

    data = data_part(there["prepare"], dataset) if "prepare" in there else None
    training = training_part(config, there["train"]) if "train" in there else None
    searcher = load_index_tuning(there["index"]) if "index" in there else None
    ranking = ranking_part(config, there["rank"], ours) if "rank" in there else None
    replay = replay_part(there["export"]) if "export" in there else None
    verdicts += replay.verdicts if replay is not None else ()
    found = evaluated_part(there["evaluate"]) if "evaluate" in there else None
    board = test = None
    if dataset is not None and (baselines or ours):
        board = standings(config, _scoreboard(dataset, there, baselines, ours))
        test = _experiment(dataset, board, baselines, ours)
    run, missing = _run_folder(config, there), tuple(name for name in STAGES if name not in there)
    evidence = Evidence(
        config,
        run,
        missing,
        board,
        verdicts,
        tuple(of_slices(found.slices, config.gate.floors.slice_lift) if found is not None else of_gates(verdicts)),
        tuple(small(found.slices) if found is not None else too_few(verdicts)),
        found.changes if found is not None else (),
        test,
        ranking,
        training,
    )
    cautions = [Caution("warning", problem)] if problem else []
    cautions += [*protocol_cautions(config, data), *model_cautions(board, verdicts, training, searcher, ranking)]
    return Summary(
        name=config.name,
        run=run,
        fingerprint=fingerprint(config),
        version=VERSION,
        environment=environment(there),
        config=config.model_dump(mode="json"),
        missing=missing,
        data=data,
        board=board,
        baselines=load_tuning(there["baselines"]) if "baselines" in there else None,
        popularity=_chosen(there),
        verdicts=verdicts,
        exact=_exact(config, gate),
        training=training,
        searcher=searcher,
        core=load_core_tuning(there["index"]) if "index" in there else None,
        ranking=ranking,
        replay=replay,
        evaluated=found,
        rolling=load_rolling(there["rolling"]) if "rolling" in there else None,
        most_shown=most_shown(dataset, ours["final list"]) if dataset is not None and "final list" in ours else (),
        experiment=test,
        decision=decide(evidence),
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


def _scoreboard(
    dataset: Dataset, there: Mapping[str, Path], baselines: Mapping[str, Results], ours: Mapping[str, Results]
) -> Scoreboard:
    """The evaluate stage's; before it has run, what can be said of the results that are there."""
    if "evaluate" in there:
        return load_leaderboard(there["evaluate"])
    return scoreboard(baselines, ours, dataset.config.gate.list_k, dataset.eligible(dataset.cuts.test))


def _experiment(
    dataset: Dataset, board: Standings, baselines: Mapping[str, Results], ours: Mapping[str, Results]
) -> Experiment | None:
    if "final list" not in ours or not board.strongest:
        return None
    rival = board.strongest[board.metrics[0]]
    return experiment(dataset, ours["final list"], rival, baselines[rival])


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

"""The baselines stage: every baseline fitted on the past of the test cut and judged on the same requests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from configs.schema import Config, duration
from pipelines.baselines.base import Baseline
from pipelines.baselines.factors import ALS, BPR
from pipelines.baselines.neighbours import ItemNeighbours
from pipelines.baselines.popularity import Popularity, SegmentPopularity
from pipelines.dataset import Dataset, load_dataset
from pipelines.evaluation.metrics import per_request
from pipelines.evaluation.ranking import rank
from pipelines.evaluation.results import Results, save_results
from pipelines.progress import Progress
from pipelines.stage import Inputs
from pipelines.tables import Requests


def baselines(config: Config, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Write each baseline's metrics on the test requests, and which popularity is best on validation."""
    dataset = load_dataset(config, inputs["prepare"])
    chosen = best_popularity(dataset)
    contenders: list[Baseline] = [*popularities(dataset), *models(config)]
    progress.expect(len(contenders), "baselines")
    results = {}
    for contender in contenders:
        results[contender.name] = judge(dataset, contender, dataset.cuts.test, dataset.test_requests)
        progress.advance()
    save_results(results, out / "results.npz")
    (out / "popularity.json").write_text(json.dumps({"chosen": chosen.name}) + "\n")
    progress.say(f"{len(contenders)} baselines; best popularity on validation: {chosen.name}")


def judge(dataset: Dataset, baseline: Baseline, cut: int, requests: Requests) -> Results:
    """Fit on events before `cut` and measure on `requests`."""
    gate = dataset.config.gate
    baseline.fit(dataset.log, dataset.n_queries, dataset.n_items, cut)
    candidates = rank(baseline.scores, requests, gate.k, dataset.eligible(cut), source=baseline.name)
    return Results.of(candidates, requests.targets, gate.k, gate.list_k)


def popularities(dataset: Dataset) -> list[Popularity | SegmentPopularity]:
    """All-time, recent and per-segment popularity, in a fixed order."""
    windows = dataset.config.baselines.windows or _default_windows(dataset)
    found: list[Popularity | SegmentPopularity] = [Popularity(name="popularity")]
    found += [Popularity(duration(window), name=f"popularity {window}") for window in windows]
    if dataset.segment is not None:
        name = f"popularity {windows[-1]} by {dataset.config.data.segment}"
        found.append(SegmentPopularity(dataset.segment, duration(windows[-1]), name=name))
    return found


def best_popularity(dataset: Dataset) -> Popularity | SegmentPopularity:
    """The popularity with the best candidate recall on validation, fitted there; never chosen on the test window."""
    cut, k = dataset.cuts.validation, dataset.config.gate.k
    contenders = popularities(dataset)
    recall = []
    for contender in contenders:
        contender.fit(dataset.log, dataset.n_queries, dataset.n_items, cut)
        candidates = rank(contender.scores, dataset.validation_requests, k, dataset.eligible(cut))
        recall.append(per_request(candidates, dataset.validation_requests.targets, k)["recall"].mean())
    return contenders[int(np.argmax(recall))]


def chosen_popularity(dataset: Dataset, folder: Path) -> Popularity | SegmentPopularity:
    """The popularity that the stage chose, not fitted."""
    chosen = json.loads((folder / "popularity.json").read_text())["chosen"]
    return next(one for one in popularities(dataset) if one.name == chosen)


def models(config: Config) -> list[Baseline]:
    """The collaborative baselines that the config asks for."""
    factors, seed = config.baselines.factors, config.seed
    found: list[Baseline] = []
    if config.baselines.neighbours:
        found.append(ItemNeighbours())
    if config.baselines.als:
        found.append(ALS(factors, seed=seed))
    if config.baselines.bpr:
        found.append(BPR(factors, seed=seed))
    return found


def _default_windows(dataset: Dataset) -> Sequence[str | int]:
    if dataset.config.data.events.time is not None:
        return ("7d", "30d")
    span = max(int(dataset.cuts.validation - dataset.log.time[0]), 100)
    return (span // 20, span // 4)

"""The baselines stage: every baseline tuned on validation, then fitted on the past of the test cut and judged there."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from configs.schema import Config
from pipelines.baselines.explicit import RatingBiases, RatingErrors, predictions
from pipelines.baselines.families import Family, families, popularity_families
from pipelines.baselines.fold import Fold
from pipelines.baselines.popularity import Popularity, SegmentPopularity
from pipelines.baselines.record import FamilyRecord, RatingRow, Row, Tuning, load_tuning, save_tuning
from pipelines.baselines.tuning import REQUESTS, fitted, sample, settings_of, trials
from pipelines.dataset import Dataset, load_dataset
from pipelines.evaluation.compared import is_popularity
from pipelines.evaluation.results import Results, save_results
from pipelines.progress import Progress
from pipelines.stage import Inputs


def baselines(config: Config, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Write each baseline's metrics on the test requests, what was tried for it, and the popularity that is best on
    validation."""
    dataset = load_dataset(config, inputs["prepare"])
    results, tuning = contest(dataset, families(dataset), progress)
    chosen = best_popularity(tuning)
    save_results(results, out / "results.npz")
    save_tuning(tuning, out)
    (out / "popularity.json").write_text(json.dumps({"chosen": chosen}) + "\n")
    for name, reason in tuning.left_out.items():
        progress.say(f"left out: {name} ({reason})")
    progress.say(
        f"{len(results)} baselines, at most {tuning.budget} settings of each tried on {tuning.requests:,} validation "
        f"requests; best popularity there: {chosen}"
    )


def contest(dataset: Dataset, table: Sequence[Family], progress: Progress) -> tuple[dict[str, Results], Tuning]:
    """Tune every family, and judge its reference and its best setting on the test requests; results by row."""
    config, gate = dataset.config, dataset.config.gate
    asked = sample(dataset.validation_requests, REQUESTS, config.seed)
    validation = Fold.of(dataset, dataset.cuts.validation, asked)
    judge = _Judge(Fold.of(dataset, dataset.cuts.test, dataset.test_requests), dataset.depths, gate.list_k, gate.k)
    records: dict[str, FamilyRecord] = {}
    progress.expect(len(table), "baselines")
    for family in table:
        record = FamilyRecord(family.name, family.left_out)
        if not family.left_out:
            options = settings_of(family, records)[: config.baselines.trials]
            choice = len(options) > 1 or is_popularity(family.name)  # one popularity is chosen among all of them
            tried = trials(family, options, validation, gate.list_k, gate.k) if choice else ()
            best = FamilyRecord(family.name, trials=tried).best if tried else options[0]
            record = replace(record, trials=tried, rows=judge.rows(family, options[0], best))
        records[family.name] = record
        progress.advance()
    criterion = f"geometric mean of ndcg@{gate.list_k} and recall@{gate.k}"
    tuning = Tuning(config.baselines.trials, len(asked), criterion, tuple(records.values()), tuple(judge.ratings))
    return judge.results, tuning


class _Judge:
    """Judges contenders on the test fold and keeps what it found."""

    def __init__(self, fold: Fold, depths: Sequence[int], list_k: int, k: int) -> None:
        self.results: dict[str, Results] = {}
        self.ratings: list[RatingRow] = []
        self._fold = fold
        self._depths = depths
        self._metrics = f"ndcg@{list_k}", f"recall@{k}"

    def rows(self, family: Family, reference: dict[str, Any], best: dict[str, Any]) -> tuple[Row, ...]:
        """The reference, and the best setting where it is another."""
        settings = [reference] if best == reference else [reference, best]
        rows: list[Row] = []
        started = time.perf_counter()
        for one, baseline in zip(settings, fitted(family, settings, self._fold), strict=True):
            row = Row(f"{family.name}, tuned" if rows else family.name, one, bool(rows), 0.0)
            candidates = self._fold.ranked(baseline, max(self._depths))
            self.results[row.name] = Results.of(candidates, self._fold.requests.targets, *self._depths)
            rows.append(replace(row, seconds=time.perf_counter() - started))
            if isinstance(baseline, RatingBiases):
                self._rate(row.name, baseline)
            started = time.perf_counter()
        return tuple(rows)

    def _rate(self, name: str, model: RatingBiases) -> None:
        """Measure how far a model of ratings is off, beside the mean of all."""
        requests = self._fold.requests
        actual = model.ratings.to_come(requests)
        if not self.ratings:
            errors = RatingErrors.of(np.full(len(actual), model.mean, np.float32), actual)
            self.ratings.append(RatingRow("mean of all ratings", errors.rmse, errors.mae, errors.pairs, None, None))
        errors = RatingErrors.of(predictions(model, requests), actual)
        ndcg, recall = (self.results[name].mean(metric) for metric in self._metrics)
        self.ratings.append(RatingRow(name, errors.rmse, errors.mae, errors.pairs, ndcg, recall))


def best_popularity(tuning: Tuning) -> str:
    """The row of popularity with the best candidate recall on validation; never chosen on the test window."""
    recall = {
        row.name: trial.recall
        for family in tuning.families
        if is_popularity(family.name)
        for row in family.rows
        for trial in family.trials
        if trial.settings == row.settings
    }
    return max(recall, key=lambda name: recall[name])


def chosen_popularity(dataset: Dataset, folder: Path) -> Popularity | SegmentPopularity:
    """The popularity that the stage chose, not fitted; `folder` is the stage's."""
    chosen = json.loads((folder / "popularity.json").read_text())["chosen"]
    record, row = load_tuning(folder).row(chosen)
    family = next(one for one in popularity_families(dataset) if one.name == record.name)
    return family.make(**row.settings, name=row.name)  # type: ignore[return-value]


def popularities(dataset: Dataset) -> list[Popularity | SegmentPopularity]:
    """Every popularity at its reference setting, not fitted, in the order of the results."""
    return [family.make(**family.settings[0], name=family.name) for family in popularity_families(dataset)]  # type: ignore[misc]

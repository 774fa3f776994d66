"""Bounded tuning: every family tries a few settings on validation requests, never on those of the test window."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from pipelines.baselines.base import Baseline, varied
from pipelines.baselines.explicit import RatingBiases, RatingErrors, predictions
from pipelines.baselines.families import Family, Settings
from pipelines.baselines.fold import Fold
from pipelines.baselines.record import FamilyRecord, Trial
from pipelines.evaluation.metrics import per_request
from pipelines.tables import Requests

REQUESTS = 4_000  # enough to choose between a few settings, and quick to rank


def sample(requests: Requests, size: int, seed: int) -> Requests:
    """At most `size` of the requests, drawn by seed, in their own order."""
    if len(requests) <= size:
        return requests
    return requests.take(np.sort(np.random.default_rng(seed).permutation(len(requests))[:size]))


def settings_of(family: Family, records: Mapping[str, FamilyRecord]) -> list[Settings]:
    """All that a family may try, the reference first, each once; `records`: of the families before it, by name.

    One with a base starts from the base's reference, and tries its own settings on the base's best.
    """
    found = list(family.settings)
    if family.base:
        base = records[family.base]
        found = [base.rows[0].settings | family.settings[0], *(base.best | own for own in family.settings)]
    return [settings for place, settings in enumerate(found) if settings not in found[:place]]


def fitted(family: Family, settings: Sequence[Settings], fold: Fold) -> Iterator[Baseline]:
    """The family's baseline with each of the settings in turn, fitted on the fold's past.

    It may be one object all along: use it before taking the next.
    """
    baseline = None
    for one in settings:
        if baseline is None or not varied(baseline, one):
            baseline = family.make(**one)
            fold.fit(baseline)
        yield baseline


def trials(family: Family, settings: Sequence[Settings], fold: Fold, list_k: int, k: int) -> tuple[Trial, ...]:
    """What each of the settings does on the fold's requests: ndcg@list_k and recall@k."""
    found, started = [], time.perf_counter()
    for one, baseline in zip(settings, fitted(family, settings, fold), strict=True):
        candidates, targets = fold.ranked(baseline, k), fold.requests.targets
        ndcg, recall = per_request(candidates, targets, list_k)["ndcg"], per_request(candidates, targets, k)["recall"]
        rmse = _rmse(baseline, fold.requests)
        found.append(Trial(one, float(ndcg.mean()), float(recall.mean()), time.perf_counter() - started, rmse))
        started = time.perf_counter()
    return tuple(found)


def _rmse(baseline: Baseline, requests: Requests) -> float | None:
    if not isinstance(baseline, RatingBiases):
        return None
    return RatingErrors.of(predictions(baseline, requests), baseline.ratings.to_come(requests)).rmse

"""What an evaluate stage might have left, made by hand: one slice of each status, and names that are markup."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from pipelines.baselines.record import FamilyRecord, RatingRow, Row, Trial, Tuning, save_tuning
from pipelines.evaluation.bootstrap import Interval
from pipelines.evaluation.ceilings import Ceiling, Ceilings, save_ceilings
from pipelines.evaluation.compared import Against, Status, status_of
from pipelines.evaluation.examples import Example, Examples, Missed, Shown, save_examples
from pipelines.evaluation.funnel import Funnel, Funnels, save_funnels
from pipelines.evaluation.leaderboard import Leaderboard, save_leaderboard
from pipelines.evaluation.sampled import Sampled, SampledRow, save_sampled
from pipelines.evaluation.scoreboard import Scoreboard
from pipelines.evaluation.scores import ScoreSpread, ScoreSpreads, save_spreads
from pipelines.evaluation.sliced import SliceResult, SliceResults, save_slices

MIN_USERS = 30
_SAMPLED = ("ndcg", "hit_rate", "mrr", "recall")


def write_evaluated(
    folder: Path, hostile: str, k: int, list_k: int, requests: int, scores: Scoreboard, early: float = -0.02
) -> None:
    """Write all files of the stage; scores: of the baselines and the model; early: how far ahead the final list is
    for queries with a history of 1-9."""
    ndcg, recall = f"ndcg@{list_k}", f"recall@{k}"
    rows = [
        slice_result("requests", "all", "all", "final list", ndcg, 0.2, 0.18, 0.22, requests),
        slice_result("requests", "history", "history 1-9", "final list", ndcg, early, early - 0.01, early + 0.01, 80),
        slice_result("requests", "history", "history 10-49", "final list", ndcg, 0.1, 0.05, 0.15, 400),
        slice_result("requests", hostile, f"{hostile} {hostile}", "final list", ndcg, 0.2, -0.3, 0.9, 12),
        slice_result("requests", hostile, f"{hostile} north", "final list", ndcg, 0.01, -0.02, 0.04, 300),
        slice_result(
            "targets", "popularity decile", "popularity decile 1", "final list", ndcg, -0.2, -0.25, -0.15, 300
        ),
        slice_result("targets", "popularity decile", "popularity decile 10", "towers", recall, 0.2, 0.15, 0.25, 300),
        slice_result("requests", "history", "history 1-9", "towers", recall, 0.03, -0.03, 0.09, 80),
        slice_result("newcomers", "newcomers", "newcomers", "final list", ndcg, 0.0, -0.01, 0.01, 60),
    ]
    values = [np.full(requests, row.value.mean) for row in rows]
    save_slices(SliceResults("asked", MIN_USERS, tuple(rows)), values, folder)
    counts = (10, 20, 400, 5, 300, 15, 250)
    parts = [
        Funnel("all", "all", "all", counts),
        Funnel("requests", hostile, f"{hostile} {hostile}", (1, 0, 2, 0, 3, 0, 4)),
    ]
    newcomers = Funnel("newcomers", "newcomers", "newcomers", (0, 0, 50, 1, 20, 0, 9))
    save_funnels(Funnels(k, list_k, 3, 7, tuple(parts), newcomers), folder)
    names = {"perfect ranking of the catalogue": 1.0, "perfect ranking of the retrieved": 0.8, "final list": 0.6}
    ceilings = [Ceiling(n, n.startswith("perfect"), {ndcg: Interval(v, v, v, requests)}) for n, v in names.items()]
    save_ceilings(Ceilings(list_k, tuple(ceilings)), folder)
    auc = Interval(0.7, 0.65, 0.75, 90)
    spread = [ScoreSpread(name, (0.0, 0.5, 1.0), (1, 9), (60, 30), auc) for name in ("towers", "ranker")]
    save_spreads(ScoreSpreads(100, tuple(spread)), folder)
    lists = tuple(Shown(f"i{n}", f"{hostile} {n}", n % 2 == 0) for n in range(list_k))
    missed = (Missed("i9", hostile, "below K"), Missed("i8", "plain", "ranked out"))
    example = Example(hostile, 0, 30, (hostile, "plain"), 4, lists, 12, missed, lists)
    empty = Example("u2", 0, 1, (), 1, lists, 0, (), ())
    save_examples(Examples(f"popularity 7d by {hostile}", (example, empty)), folder)
    save_leaderboard(_leaderboard(scores), folder)
    rows = [
        SampledRow(f"{name} (sampled)", {f"{m}@{list_k}": Interval(0.6, 0.5, 0.7, requests) for m in _SAMPLED})
        for name in ("towers", hostile)
    ]
    save_sampled(Sampled(100, requests, tuple(rows)), folder)


def slice_result(
    of: str, dimension: str, name: str, contender: str, metric: str, mean: float, low: float, high: float, n: int
) -> SliceResult:
    """A contender that is this much ahead of item-kNN, which stands at 0.1, and a little ahead of popularity."""
    difference = Interval(mean, low, high, n)
    status: Status = status_of(difference, MIN_USERS)
    popularity = Against("popularity 7d", 0.09, Interval(0.01, 0.005, 0.015, n), "better")
    return SliceResult(
        of,
        dimension,
        name,
        contender,
        metric,
        n,
        Interval(0.1 + mean, 0.1 + low, 0.1 + high, n),
        popularity,
        Against("item-kNN", 0.1, difference, status),
    )


def _leaderboard(scores: Scoreboard) -> Leaderboard:
    """Category diversity .5 of all, novelty 6 but 7 of the final list; that covers .2, all others .4."""
    ours = np.array([name == "final list" for name in scores.contenders])
    variety = np.repeat(np.stack([np.full(len(ours), 0.5), 6.0 + ours], axis=1)[:, :, None], 3, axis=2)
    rivals = ("popularity 7d", "item-kNN")
    places = [scores.contenders.index(rival) for rival in rivals]
    catalogue = np.where(ours[:, None], [0.2, 0.6, 3.0], [0.4, 0.5, 4.0])
    return Leaderboard(
        **vars(replace(scores, catalogue=catalogue)),
        rivals=rivals,
        qualities=("category_diversity", "novelty"),
        variety=variety,
        variety_differences=variety[:, None] - variety[None, places],
    )


def write_tuning(folder: Path, list_k: int) -> None:
    """What a baselines stage might have tried: one family tuned, one left out, one model of ratings."""
    settings = {"neighbours": 100, "shrinkage": 20}
    trials = (Trial(settings, 0.1, 0.2, 1.5), Trial(settings | {"neighbours": 200}, 0.12, 0.22, 1.0))
    rows = (Row("item-kNN", settings, False, 2.0), Row("item-kNN tuned", trials[1].settings, True, 1.0))
    families = (
        FamilyRecord("popularity 7d", rows=(Row("popularity 7d", {}, False, 0.1),)),
        FamilyRecord("item-kNN", trials=trials, rows=rows),
        FamilyRecord("LightFM", left_out="not installed: pip install twinspire[baselines]"),
    )
    ratings = (RatingRow("mean", 1.1, 0.9, 50, None, None), RatingRow("SVD on ratings", 0.95, 0.75, 50, 0.05, 0.1))
    save_tuning(Tuning(6, 40, f"ndcg@{list_k} and recall", families, ratings), folder)

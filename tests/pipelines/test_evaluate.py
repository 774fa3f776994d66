"""The evaluate stage on a whole small run: its parts agree with one another and with what the stages found."""

import json
from pathlib import Path

import numpy as np
import pytest

from pipelines.dataset import Dataset, load_dataset
from pipelines.evaluation.ceilings import load_ceilings
from pipelines.evaluation.examples import load_examples
from pipelines.evaluation.funnel import SHOWN, load_funnels
from pipelines.evaluation.leaderboard import load_leaderboard
from pipelines.evaluation.metrics import hits
from pipelines.evaluation.results import Results, load_results
from pipelines.evaluation.scores import load_spreads
from pipelines.evaluation.sliced import changes, load_slices
from pipelines.newcomers import stages_of
from pipelines.report.curves import curves
from pipelines.stage import config_of
from pipelines.tables import Candidates
from pipelines.verdicts import load_verdicts
from tests.conftest import Demo
from tests.runs import twinspire

pytestmark = pytest.mark.slow
OURS = ("towers", "towers, exact search", "towers + ranker", "final list")


@pytest.fixture(scope="module")
def folder(demo: Demo) -> Path:
    return demo.run / "evaluate"


@pytest.fixture(scope="module")
def dataset(demo: Demo) -> Dataset:
    return load_dataset(config_of(demo.run), demo.run / "prepare")


@pytest.fixture(scope="module")
def ours(demo: Demo) -> dict[str, Results]:
    return load_results(demo.run / "gate" / "results.npz") | load_results(demo.run / "rank" / "results.npz")


def test_every_contender_is_on_the_leaderboard_with_the_numbers_that_its_stage_found(demo, folder, ours):
    board = load_leaderboard(folder)
    baselines = load_results(demo.run / "baselines" / "results.npz")
    assert board.contenders == (*baselines, *OURS)
    for name, result in {**baselines, **ours}.items():
        for metric in set(result.metrics) & set(board.metrics):
            assert board.value(name, metric).mean == pytest.approx(result.mean(metric))
    assert {f"ndcg@{k}" for k in (1, 5, 10, 20, 50, 100)} <= set(board.metrics)
    assert {"category_diversity", "embedding_diversity", "novelty", "serendipity", "age", "fresh_share"} == set(
        board.qualities
    )


def test_the_funnel_adds_up_and_shows_what_the_final_list_hits(folder, dataset, ours):
    found = load_funnels(folder)
    everything = found.rows[0]
    targets = dataset.test_requests.targets
    final = ours["final list"].items
    assert everything.counts[SHOWN] == hits(Candidates(final, final, "list"), targets, final.shape[1]).sum()
    assert everything.total == sum(everything.counts) >= len(targets.values)
    for dimension in ("history", "region", "device", "hour of day", "day of week", "item age", "category"):
        parts = [row.counts for row in found.rows if row.dimension == dimension]
        assert tuple(np.sum(parts, axis=0)) == everything.counts, dimension


def test_slices_agree_with_the_gate_where_both_look(demo, folder):
    rows = {row.slice: row for row in load_slices(folder).rows if row.contender == "towers"}
    for verdict in load_verdicts(demo.run / "gate" / "verdicts.json"):
        if verdict.slice != "all" and " lift over " in verdict.metric:
            against = rows[verdict.slice].popularity
            assert verdict.metric == f"{rows[verdict.slice].metric} lift over {against.rival}"
            assert rows[verdict.slice].n == verdict.n
            if np.isfinite(verdict.value):  # popularity may find nothing at all
                assert rows[verdict.slice].value.mean == pytest.approx(against.value * (1 + verdict.value))


def test_newcomers_are_judged_apart_and_against_popularity_alone(demo, folder, dataset):
    rows = [row for row in load_slices(folder).rows if row.of == "newcomers"]
    chosen = json.loads((demo.run / "baselines" / "popularity.json").read_text())["chosen"]
    assert [(row.contender, row.n) for row in rows] == [
        (name, len(dataset.newcomers)) for name in ("towers", "final list")
    ]
    assert all(row.popularity.rival == chosen and row.baseline is None for row in rows)
    assert load_funnels(folder).newcomers.total >= len(dataset.newcomers.targets.values)


def test_perfect_ranking_would_be_better_than_what_is_shown(folder, ours):
    rows = {row.name: row.measures["ndcg@10"].mean for row in load_ceilings(folder).rows}
    assert rows["final list"] == pytest.approx(ours["final list"].mean("ndcg@10"))
    assert 1 == rows["perfect ranking of the catalogue"] > rows["perfect ranking of the retrieved"] > rows["final list"]


def test_targets_score_above_other_candidates(folder):
    found = load_spreads(folder)
    assert [one.model for one in found.models] == ["towers", "ranker"]
    assert all(one.auc.low > 0.5 for one in found.models)


def test_examples_show_the_lists_that_were_made(folder, dataset, ours):
    stages = stages_of(ours)
    queries = dataset.tables.queries["query"].astype(str).to_numpy()[dataset.test_requests.query]
    ids = dataset.tables.items["item"].astype(str).to_numpy()
    rows = load_examples(folder).rows
    assert len(rows) == 6
    for one in rows:
        (row,) = np.flatnonzero(queries == one.query)
        assert [shown.item for shown in one.shown] == ids[stages.shown[row]].tolist()
        assert one.taken == one.missed_count + sum(shown.hit for shown in one.shown)


def test_scalars_of_every_slice_are_on_the_board(folder):
    logged = curves(folder / "tensorboard")
    rows = load_slices(folder).rows
    for row in rows:
        ((_, value),) = logged[f"{row.contender} {row.metric}/{row.slice}"]
        assert value == pytest.approx(row.value.mean, abs=1e-6)
    everything = load_funnels(folder).rows[0]
    ((_, shown),) = logged["funnel shown/all"]
    assert shown == pytest.approx(everything.counts[SHOWN] / everything.total, abs=1e-6)


def test_a_run_compared_with_itself_has_not_changed(folder):
    found = changes(folder, folder)
    assert {one.against.difference.mean for one in found} == {0.0}
    assert len(found) == len(load_slices(folder).rows)


def test_the_command_prints_the_summary_and_says_what_is_next(demo: Demo):
    called = twinspire("evaluate", demo.run, cwd=demo.home, check=True)
    assert "final list" in called.out
    assert f"twinspire report {demo.run}" in called.out

from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np
import pytest

from pipelines.report import report, summarise
from pipelines.report.page import page as page_of
from pipelines.report.summary import STAGES
from tests.pipelines.report.runs import HOSTILE, make_config, make_run, write_core_replay, write_replay, write_tables


def test_a_win_names_the_baseline_the_difference_and_the_next_step(won) -> None:
    decision = summarise(*won).decision
    assert decision.verdict == "ready for an A/B test"
    assert "The final list beats popularity 7d on NDCG@2: 0.600 against 0.400, +0.200" in decision.headline
    assert decision.next_steps[0].startswith("`twinspire publish ")
    assert [one.slice for one in decision.regressions] == ["history 1-9", "popularity decile 1"]
    assert decision.unclear == (f"{HOSTILE} {HOSTILE} (n=12)",)


def test_all_parts_are_read(won) -> None:
    summary = summarise(*won)
    assert summary.missing == ()
    assert [row.name for row in summary.board.entries if row.ours] == ["final list", "towers + ranker", "towers"]
    assert summary.training.curves["towers/recall"][1] == (2, pytest.approx(0.41))
    assert summary.searcher.verdict == "met"
    assert summary.searcher.table == (0, 1)  # the third is as good as the second and slower
    assert summary.ranking.gain.mean == pytest.approx(0.05)
    assert summary.ranking.rerank.mean == pytest.approx(0.05)
    assert summary.replay.c_loader == 0.9995
    assert [v.gate for v in summary.verdicts if v.gate == "replay"] == ["replay", "replay"]
    assert summary.most_shown[0].share == 1.0
    assert summary.evaluated.funnels.rows[0].total == 1000
    changes = {(one.metric, one.rival) for one in summary.decision.changes}
    assert changes >= {("coverage", "item-kNN"), ("novelty", "popularity 7d")}
    assert list(summary.baselines.left_out) == ["LightFM"]
    assert summary.rolling is None
    assert summary.environment.packages["numpy"] == np.__version__


def test_the_leaderboard_is_the_source_once_it_is_there(won) -> None:
    config, results = won
    before = summarise(config, {name: path for name, path in results.items() if name != "evaluate"}).board
    after = summarise(config, results).board
    assert after.pairs == before.pairs
    assert [entry.measures for entry in after.entries] == [entry.measures for entry in before.entries]
    # what the stage wrote of the catalogue, not what the lists hold
    assert (before.entry("final list").coverage, after.entry("final list").coverage) == (pytest.approx(2 / 11), 0.2)


@pytest.fixture
def world(tmp_path):
    write_tables(tmp_path)
    return tmp_path, make_config(tmp_path)


def test_popularity_that_wins_can_be_published(world) -> None:
    folder, config = world
    decision = summarise(config, make_run(folder / "run", config, final=0.3, popular=0.4)).decision
    assert (decision.verdict, decision.reasons[0].kind) == ("not ready", "baseline")
    assert f"`twinspire publish --policy popularity {folder / 'run'}`" in decision.next_steps[-1]


def test_a_replay_that_disagrees_is_read_from_the_bundle(world) -> None:
    folder, config = world
    results = make_run(folder / "run", config)
    write_replay(results["export"], 0.9)
    decision = summarise(config, results).decision
    assert (decision.verdict, [reason.kind for reason in decision.reasons]) == ("not ready", ["replay"])


def test_a_second_export_is_read_beside_the_first(world) -> None:
    folder, config = world
    results = make_run(folder / "run", config)
    assert summarise(config, results).replay.core is None
    write_core_replay(results["export"], 0.999, 0.97)
    summary = summarise(config, results)
    assert (summary.core.kind, summary.core.held_out.mean) == ("ivf", 0.983)
    assert (summary.replay.core, summary.replay.shared) == (0.999, 0.971)
    assert len([v for v in summary.verdicts if "core operations" in v.metric]) == 2
    assert summary.decision.verdict == "ready for an A/B test"
    said = " ".join(re.sub("<[^>]*>", " ", page_of(summary)).split())
    assert "with core operations alone: ivf, recall@5 0.9830" in said
    assert "640 microseconds a query" in said
    assert "it finds 97.10% of the first one's candidates" in said.replace("&#39;", "'")


@pytest.mark.parametrize(("c_loader", "recall", "kind"), [(0.9, 0.97, "replay"), (1.0, 0.9, "gate")])
def test_a_second_export_that_fails_is_a_no(world, c_loader, recall, kind) -> None:
    folder, config = world
    results = make_run(folder / "run", config)
    write_core_replay(results["export"], c_loader, recall)
    decision = summarise(config, results).decision
    assert (decision.verdict, [reason.kind for reason in decision.reasons]) == ("not ready", [kind])


def test_without_the_evaluate_stage_regressions_are_those_of_the_gate(won) -> None:
    config, results = won
    there = {name: path for name, path in results.items() if name != "evaluate"}
    decision = summarise(config, there).decision
    assert decision.verdict == "cannot tell yet"
    assert [one.slice for one in decision.regressions] == ["history 1-9"]
    assert decision.unclear == (f"region {HOSTILE} (n=12)",)


@pytest.mark.parametrize("count", range(len(STAGES) + 1))
def test_missing_stages_are_said_to_be_missing(won, tmp_path, count) -> None:
    config, results = won
    there = {name: results[name] for name in STAGES[:count]}
    summary = summarise(config, there)
    assert summary.missing == STAGES[count:]
    assert (summary.decision.verdict == "cannot tell yet") == bool(summary.missing)
    page = report(config, there, tmp_path / "out").read_text()
    assert ("has not run yet" in page) == bool(summary.missing)


def test_published_protocol_filter_is_a_warning(won) -> None:
    config, results = won
    data = config.data.model_copy(update={"min_item_events": 5})
    cautions = summarise(config.model_copy(update={"data": data}), results).cautions
    assert "looks ahead" in next(c.text for c in cautions if "min_item_events" in c.text and c.level == "warning")
    assert not any("min_item_events" in c.text for c in summarise(config, results).cautions)


def test_chance_is_said_alike_in_cautions_and_on_the_page(won) -> None:
    summary = summarise(*won)
    assert sum("about one in forty looks surely worse by chance alone" in c.text for c in summary.cautions) == 1
    assert "one comparison in forty would look so by chance alone" in page_of(summary)


def test_json_is_strict_and_files_are_whole(won, tmp_path) -> None:
    page = report(*won, tmp_path / "out")
    found = json.loads((tmp_path / "out" / "summary.json").read_text(), parse_constant=pytest.fail)
    assert found["decision"]["verdict"] == "ready for an A/B test"
    assert next(v for v in found["verdicts"] if v["slice"] == "items without events")["value"] is None
    assert sorted(path.name for path in page.parent.iterdir()) == ["report.html", "summary.json", "tensorboard"]


def test_report_needs_no_tensorflow() -> None:
    code = "import sys, pipelines.report; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

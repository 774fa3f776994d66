from __future__ import annotations

import json
import subprocess
import sys

import pytest

from pipelines.report import report, summarise
from pipelines.report.summary import STAGES
from pipelines.verdicts import Verdict, save_verdicts
from tests.pipelines.report.runs import HOSTILE, make_config, make_run, write_tables


def test_win_names_the_baseline_the_difference_and_the_next_step(won) -> None:
    summary = summarise(*won)
    decision = summary.decision
    assert decision.outcome == "win"
    assert "The final list beats popularity 7d on NDCG@2: 0.600 against 0.400, +0.200" in decision.headline
    assert decision.next_steps[0].startswith("`twinspire publish ")
    assert "--policy" not in " ".join(decision.next_steps)
    assert "proves nothing" in decision.caveat
    # Hit rates are the same for all, so no test could end with a result.
    assert decision.earns_test is False
    assert [line.split(":")[0] for line in decision.regressed] == ["history 1-9"]
    assert decision.unclear == (f"region {HOSTILE} (n=12)",)


def test_all_parts_are_read(won) -> None:
    summary = summarise(*won)
    assert summary.missing == ()
    assert [row.name for row in summary.contenders.rows if row.ours] == ["towers", "towers + ranker", "final list"]
    assert summary.training.curves["towers/recall"][1] == (2, pytest.approx(0.41))
    assert summary.tuning.reached == 0.985
    assert summary.ranking.gain.mean == pytest.approx(0.05)
    assert summary.ranking.rerank.mean == pytest.approx(0.05)
    assert summary.replay.c_loader == 0.9995
    assert summary.most_shown[0].share == 1.0


@pytest.fixture
def world(tmp_path):
    write_tables(tmp_path)
    return tmp_path, make_config(tmp_path)


def test_popularity_wins_and_can_be_published(world) -> None:
    folder, config = world
    summary = summarise(config, make_run(folder / "run", config, final=0.3, popular=0.4))
    assert summary.decision.outcome == "popularity wins"
    assert summary.decision.headline.startswith("Popularity wins: popularity 7d is better than the model.")
    assert f"`twinspire publish --policy popularity {folder / 'run'}`" in summary.decision.next_steps[0]
    assert summary.decision.earns_test is False


def test_another_baseline_wins_and_is_named(world) -> None:
    folder, config = world
    summary = summarise(config, make_run(folder / "run", config, final=0.09, popular=0.05))
    assert summary.decision.outcome == "baseline wins"
    assert "item-kNN is better than the model" in summary.decision.headline
    assert "which twinspire measures but does not publish" in summary.decision.next_steps[0]


def test_level_is_no_win(world) -> None:
    folder, config = world
    summary = summarise(config, make_run(folder / "run", config, final=0.4, popular=0.4))
    assert summary.decision.outcome == "undecided"
    assert "cannot be told from popularity 7d" in summary.decision.headline


def test_failed_gate_stands_in_the_way_of_a_better_list(world) -> None:
    folder, config = world
    results = make_run(folder / "run", config)
    failed = Verdict("candidates", "searcher recall against exact", "all", 0.9, 0.89, 0.91, 0.95, 40, "fail")
    save_verdicts([failed], results["gate"] / "verdicts.json")
    decision = summarise(config, results).decision
    assert decision.outcome == "gate failed"
    assert any("index.target_recall" in step for step in decision.next_steps)
    assert decision.earns_test is False


@pytest.mark.parametrize("count", range(len(STAGES) + 1))
def test_missing_stages_are_said_to_be_missing(won, tmp_path, count) -> None:
    config, results = won
    there = {name: results[name] for name in STAGES[:count]}
    summary = summarise(config, there)
    assert summary.missing == STAGES[count:]
    if count < STAGES.index("rank"):
        assert summary.decision.outcome in ("not run yet", "unfinished")
        assert summary.decision.earns_test is None
    assert report(config, there, tmp_path / "out").read_text().count("has not run yet") >= bool(summary.missing)


def test_published_protocol_filter_is_a_warning(won) -> None:
    config, results = won
    data = config.data.model_copy(update={"min_item_events": 5})
    cautions = summarise(config.model_copy(update={"data": data}), results).cautions
    assert "looks ahead" in next(c.text for c in cautions if "min_item_events" in c.text and c.level == "warning")
    assert not any("min_item_events" in c.text for c in summarise(config, results).cautions)


def test_json_is_strict_and_files_are_whole(won, tmp_path) -> None:
    page = report(*won, tmp_path / "out")
    found = json.loads((tmp_path / "out" / "summary.json").read_text(), parse_constant=pytest.fail)
    assert found["decision"]["outcome"] == "win"
    assert next(v for v in found["verdicts"] if v["slice"] == "items without events")["value"] is None
    assert sorted(path.name for path in page.parent.iterdir()) == ["report.html", "summary.json"]


def test_report_needs_no_tensorflow() -> None:
    code = "import sys, pipelines.report; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

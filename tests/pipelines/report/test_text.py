from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from pipelines.report import print_summary, summarise
from pipelines.report.wording import NONE


def _printed(summary, width: int = 160, everyone: bool = False) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_summary(summary, console, everyone)
    return console.file.getvalue()


def test_fits_a_hundred_columns(won) -> None:
    assert max(map(len, _printed(summarise(*won)).splitlines())) <= 100


def test_shows_contenders_checks_and_what_got_worse(won) -> None:
    lines = _printed(summarise(*won)).splitlines()
    final = next(line for line in lines if line.startswith("final list"))
    assert "*0.600" in final
    rival = next(line for line in lines if line.startswith("popularity 7d "))
    assert "+0.200 +" in rival
    assert any(line.startswith("list: NDCG@2") and line.rstrip().endswith("pass") for line in lines)
    assert any(line.startswith("worse") and "history 1-9" in line for line in lines)
    assert any(line.startswith("Of 1,000 held-out items") for line in lines)


def test_a_check_that_cannot_tell_says_so_in_full(won) -> None:
    summary = summarise(*won)
    first, *others = summary.verdicts
    wide = replace(first, metric="recall@100 lift over popularity by region in the last month", status="cannot tell")
    wide = replace(wide, value=-1.0, low=-1.234, high=1.234)
    lines = _printed(replace(summary, verdicts=(wide, *others)), width=100).splitlines()
    (line,) = (line for line in lines if line.startswith("candidates: recall@100"))
    assert line.rstrip().endswith("cannot tell")
    assert "…st month  " in line  # shortened in the middle
    assert "-123.4% to +123.4%" in line
    assert max(map(len, lines)) <= 100


def _crowded(summary):
    """A dozen baselines, one of them known from elsewhere alone, under the longest names of metrics that are usual."""
    board = summary.board
    kept = next(entry for entry in board.entries if entry.name == "item-kNN")
    values = dict(zip(board.metrics, (0.1784, 0.1794), strict=True))
    many = [replace(kept, name=f"a baseline with a long name {n:02}", references=values) for n in range(12)]
    alone = replace(kept, name="BPR", measures={}, means={}, coverage=None, gini=None, references=values)
    return replace(summary, board=replace(board, entries=(*board.entries, *many, alone)))


def test_everyone_is_in_one_table_with_what_was_measured_elsewhere(won) -> None:
    summary = _crowded(summarise(*won))
    lines = _printed(summary, everyone=True).splitlines()
    assert max(map(len, lines)) <= 100
    assert sum(line.startswith("a baseline with") for line in lines) == 12
    assert next(line for line in lines if line.startswith("BPR")).split() == ["BPR", NONE, NONE, ".178", ".179"]
    assert next(line for line in lines if line.startswith("Contender")).endswith("elsewhere")
    assert not any("more in the report; *" in line for line in lines)
    assert not any(line.startswith("BPR") or "elsewhere" in line for line in _printed(summary).splitlines())


def test_variants_of_one_baseline_keep_apart_names(won) -> None:
    summary = summarise(*won)
    board = summary.board
    name = "popularity novelty-discounted"
    both = [replace(board.entries[0], name=one, ours=False) for one in (name, f"{name}, tuned")]
    text = _printed(replace(summary, board=replace(board, entries=(*board.entries, *both))), everyone=True)
    assert "popularity novelt…d, tuned " in text
    assert "popularity novelt…scounted " in text


def test_sampled_metrics_are_marked_and_only_in_the_whole_leaderboard(won) -> None:
    summary = summarise(*won)
    text = _printed(summary, everyone=True)
    assert "sampled: to repeat a published table, not to decide" in text
    assert any(line.split()[:4] == ["towers", "(sampled)", "0.600", ".500-.700"] for line in text.splitlines())
    assert max(map(len, text.splitlines())) <= 100
    assert "sampled" not in _printed(summary)
    without = replace(summary, evaluated=replace(summary.evaluated, sampled=None))
    assert "sampled" not in _printed(without, everyone=True)


def test_ends_with_the_verdict_and_the_next_step_on_about_one_screen(won) -> None:
    lines = _printed(summarise(*won)).rstrip().splitlines()
    place = lines.index("Ready for an A/B test.")
    assert lines[place + 1].startswith("next  `twinspire publish")
    assert len(lines) - place < 8
    assert len(lines) < 50


def test_says_what_has_not_run(won) -> None:
    config, results = won
    text = _printed(summarise(config, {"prepare": results["prepare"]}))
    assert "Contenders: not run yet" in text
    assert "Gates: not run yet" in text


def test_control_characters_do_not_reach_the_terminal(won) -> None:
    summary = summarise(*won)
    hostile = tuple(replace(verdict, slice="\x1b[2Jgone") for verdict in summary.verdicts)
    assert "\x1b" not in _printed(replace(summary, verdicts=hostile))

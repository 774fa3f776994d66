from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from pipelines.report import print_summary, summarise


def _printed(summary, width: int = 160) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_summary(summary, console)
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

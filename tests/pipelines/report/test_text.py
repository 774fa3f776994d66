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


def test_shows_contenders_verdicts_and_decision(won) -> None:
    lines = _printed(summarise(*won)).splitlines()
    final = next(line for line in lines if line.startswith("final list"))
    assert "*0.600" in final
    assert "+0.200 +" in final
    assert any(line.strip().startswith("history 1-9") and line.rstrip().endswith("pass") for line in lines)
    assert any(line.strip().endswith("cannot tell") for line in lines)
    assert any(line.startswith("The model wins.") for line in lines)


def test_says_what_has_not_run(won) -> None:
    config, results = won
    text = _printed(summarise(config, {"prepare": results["prepare"]}))
    assert "Contenders: not run yet" in text
    assert "Gates: not run yet" in text


def test_control_characters_do_not_reach_the_terminal(won) -> None:
    summary = summarise(*won)
    hostile = tuple(replace(verdict, slice="\x1b[2Jgone") for verdict in summary.verdicts)
    assert "\x1b" not in _printed(replace(summary, verdicts=hostile))

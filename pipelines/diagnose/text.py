"""The diagnosis in the terminal: what was found, question by question, and what it argues for."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.diagnose.diagnosis import Diagnosis
from pipelines.diagnose.findings import Level, sections
from pipelines.diagnose.rules import Answer
from pipelines.look.terminal import WIDTH, clean

_MARKS: dict[Level, tuple[str, str]] = {
    "good": ("+", "green"),
    "note": ("-", ""),
    "warning": ("!", "bold red"),
    "unknown": ("?", "yellow"),
}
_HOLDS = {True: ("yes", "green"), False: ("no", ""), None: ("?", "yellow")}


def print_diagnosis(found: Diagnosis, console: Console) -> None:
    """Print every finding and the advice, at most 100 columns wide."""
    width = min(console.width, WIDTH)
    for part in (*_findings(found), *_advice(found)):
        console.print(part, width=width)


def _findings(found: Diagnosis) -> Iterator[Text | Table]:
    for section in sections(found):
        yield Text(section.title, style="bold")
        grid = Table.grid(padding=(0, 1, 0, 0))
        for finding in section.findings:
            mark, style = _MARKS[finding.level]
            grid.add_row(Text(mark, style=style), Text(clean(finding.text)))
        yield grid
        yield Text("")
    yield Text("+ good, - to know, ! to act on, ? cannot be told; brackets hold 95% intervals", style="dim")
    yield Text("")


def _advice(found: Diagnosis) -> Iterator[Text | Table]:
    advice = found.advice
    yield Text(f"What it argues for: {advice.design}", style="bold")
    yield Text(clean(advice.reason))
    yield Text("")
    yield _answers(advice.answers)
    yield Text("")
    if advice.settings:
        grid = Table.grid(padding=(0, 2, 0, 0))
        for setting in advice.settings:
            grid.add_row(Text("set", style="bold"), Text(clean(f"{setting.setting}: {setting.reason}")))
        yield grid
        yield Text("")


def _answers(answers: tuple[Answer, ...]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    for answer in answers:
        holds, style = _HOLDS[answer.holds]
        value = f"{clean(answer.value)} ({answer.threshold}): {answer.means}"
        table.add_row(Text(answer.question), Text(holds, style=style), Text(value))
    return table

"""The summary in the terminal, on about one screen: who is ahead, what got worse, and at the end what to do."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.look.terminal import WIDTH, clean
from pipelines.look.terminal import table as blank_table
from pipelines.report.decision import Decision, Word
from pipelines.report.experiment import Detectable
from pipelines.report.funnel_words import funnel_line
from pipelines.report.standings import Entry, Standings
from pipelines.report.summary import Summary
from pipelines.report.variety import HEADLINE
from pipelines.report.wording import (
    NONE,
    is_lift,
    metric_name,
    number,
    percent,
    signed,
    verdict_bounds,
    verdict_floor,
    verdict_value,
)
from pipelines.verdicts import Verdict, passed

_NAME = 26  # longest name of a contender that is shown in full
_ROWS, _POINTS = 8, 3  # contenders, and points of one kind, that are shown
_STYLES = {"pass": "green", "fail": "bold red", "cannot tell": "yellow"}
_VERDICTS: dict[Word, str] = {"ready for an A/B test": "bold green", "not ready": "bold red"}


def print_summary(summary: Summary, console: Console) -> None:
    """Print standings, checks and the decision, at most 100 columns wide."""
    width = min(console.width, WIDTH)

    def show(*parts: Table | Text) -> None:
        for part in parts:
            console.print(part, width=width)
        console.print()

    if summary.board is None:
        show(Text("Contenders: not run yet", style="dim"))
    else:
        show(standings_table(summary.board), *_legend(summary.board))
    if summary.verdicts:
        show(*checks(summary))
    else:
        show(Text("Gates: not run yet", style="dim"))
    if summary.evaluated is not None:
        show(Text(funnel_line(summary.evaluated.funnels)))
    show(*decision_lines(summary))


def standings_table(board: Standings) -> Table:
    """One line a contender, the best of each column marked by *: the model's stages and the strongest baselines."""
    table = blank_table("Contender")
    for metric in board.metrics:
        table.add_column(metric_name(metric), justify="right", no_wrap=True)
        table.add_column("95%", justify="right", no_wrap=True, style="dim")
        table.add_column("ahead", justify="right", no_wrap=True)
    table.add_column("cover", justify="right", no_wrap=True)
    for entry in _shown(board):
        cells = [cell for metric in board.metrics for cell in _cells(board, entry, metric)]
        table.add_row(_name(entry.name, "bold" if entry.ours else ""), *cells, percent(entry.coverage, 0))
    return table


def checks(summary: Summary) -> Iterator[Text | Table]:
    """The gates' lifts over everything, and what does not pass."""
    table = blank_table("Check")
    for width in (7, 16, 7):
        table.add_column(justify="right", no_wrap=True, min_width=width)
    table.add_column(no_wrap=True)
    shown = [v for v in summary.verdicts if not passed([v]) or (v.slice == "all" and is_lift(v))]
    for verdict in shown:
        table.add_row(
            _name(_check(verdict), "", 52),
            verdict_value(verdict),
            verdict_bounds(verdict),
            verdict_floor(verdict),
            Text(verdict.status, style=_STYLES[verdict.status]),
        )
    table.columns[1].header, table.columns[2].header, table.columns[3].header = "value", "95%", "floor"
    yield table
    rest = [v for v in summary.verdicts if v not in shown]
    if rest:
        few = sum(v.status == "cannot tell" for v in rest)
        said = f"and {len(rest) - few} more that pass"
        yield Text(said + (f", {few} slices too small to tell" if few else ""), style="dim")


def decision_lines(summary: Summary) -> Iterator[Text | Table]:
    """What speaks for and against, and at the end the verdict and the next step."""
    decision = summary.decision
    grid = Table.grid(padding=(0, 2, 0, 0))
    for label, sentence in _points(summary, decision):
        grid.add_row(Text(label, style="bold"), Text(clean(sentence)))
    yield grid
    yield Text(decision.caveat, style="dim")
    style = _VERDICTS.get(decision.verdict, "bold yellow")
    yield Text(f"\n{decision.verdict[0].upper()}{decision.verdict[1:]}.", style=style)
    if decision.next_steps:
        grid = Table.grid(padding=(0, 2, 0, 0))
        for place, step in enumerate(decision.next_steps):
            grid.add_row(Text("" if place else "next", style="bold"), Text(clean(step)))
        yield grid


def _points(summary: Summary, decision: Decision) -> Iterator[tuple[str, str]]:
    yield "result", decision.headline
    for one in decision.comparisons[1:]:
        yield "", one.sentence
    yield from _listed("worse", [one.sentence for one in decision.regressions])
    kept = [one for one in decision.changes if one.metric in HEADLINE and one.rival == decision.changes[0].rival]
    varied = [f"{one.name} {number(one.theirs)} -> {number(one.ours)}" for one in kept]
    if varied:
        yield "lists", f"against {kept[0].rival}: {', '.join(varied)}"
    test = summary.experiment
    if test is not None and test.detectable:
        effects = ", ".join(f"{d.weeks} wk {_effect(d)} ({d.queries:,} queries)" for d in test.detectable)
        yield "test", f"could detect a change of {metric_name(test.metric)} by: {effects}"
    elif test is not None:
        yield "test", f"what it could detect is not known: {test.problem}"
    warnings = sum(caution.level == "warning" for caution in summary.cautions)
    if warnings:
        yield "warnings", f"{warnings}; see the report"
    yield from _listed("against", [reason.text for reason in decision.reasons])


def _listed(label: str, sentences: list[str]) -> Iterator[tuple[str, str]]:
    for place, sentence in enumerate(sentences[:_POINTS]):
        yield "" if place else label, sentence
    if len(sentences) > _POINTS:
        yield "", f"and {len(sentences) - _POINTS} more in the report"


def _effect(one: Detectable) -> str:
    return f"{number(one.absolute)} or {percent(one.relative)}" if one.possible else "none possible"


def _check(verdict: Verdict) -> str:
    where = "" if verdict.slice == "all" else f", {verdict.slice}"
    return f"{verdict.gate}{where}: {metric_name(verdict.metric)}"


def _shown(board: Standings) -> list[Entry]:
    judged = [entry for entry in board.entries if entry.measures]
    named = {*board.strongest.values(), *board.popular.values()}
    return [entry for place, entry in enumerate(judged) if place < _ROWS or entry.ours or entry.name in named]


def _cells(board: Standings, entry: Entry, metric: str) -> tuple[Text, str, Text]:
    measure = entry.measures.get(metric)
    if measure is None:
        return Text(NONE), "", Text("")
    best = measure.value.mean == board.best(metric)
    value = Text(("*" if best else "") + number(measure.value.mean), style="bold" if best else "")
    span = f"{_short(measure.value.low)}-{_short(measure.value.high)}"
    if measure.behind is None:
        return value, span, Text("model" if board.model.get(metric) == entry.name else "", style="dim")
    low, high = measure.behind.low, measure.behind.high
    mark, style = ("+", "green") if low > 0 else ("-", "red") if high < 0 else ("=", "yellow")
    return value, span, Text(f"{signed(measure.behind.mean)} {mark}", style=style)


def _legend(board: Standings) -> Iterator[Text]:
    left = len([entry for entry in board.entries if entry.measures]) - len(_shown(board))
    yield Text(
        (f"and {left} more in the report; " if left else "")
        + f"* best of its column; ahead: the model over this one, paired on {board.requests:,} requests, surely ahead "
        "(+), surely behind (-) or neither (=) at 95%; cover: share of items shown",
        style="dim",
    )


def _name(name: str, style: str, width: int = _NAME) -> Text:
    text = Text(clean(name), style=style)
    text.truncate(width, overflow="ellipsis")
    return text


def _short(value: float) -> str:
    return number(value).removeprefix("0")

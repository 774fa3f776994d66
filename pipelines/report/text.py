"""The summary in the terminal: who is ahead, which checks fail, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.report.contenders import Contender, Contenders
from pipelines.report.decision import Outcome
from pipelines.report.experiment import Detectable
from pipelines.report.summary import Summary
from pipelines.report.wording import (
    NONE,
    metric_name,
    number,
    percent,
    signed,
    signed_percent,
    verdict_bounds,
    verdict_floor,
    verdict_value,
)

WIDTH = 100
_NAME = 28  # longest name of a contender or slice that is shown in full
_STYLES = {"pass": "green", "fail": "bold red", "cannot tell": "yellow"}
_HEADLINES: dict[Outcome, str] = {"win": "bold green", "popularity wins": "bold red", "baseline wins": "bold red"}


def print_summary(summary: Summary, console: Console) -> None:
    """Print contenders, verdicts and the decision, at most 100 columns wide."""
    width = min(console.width, WIDTH)

    def show(*parts: Table | Text) -> None:
        for part in parts:
            console.print(part, width=width)
        console.print()

    if summary.contenders is None:
        show(Text("Contenders: not run yet", style="dim"))
    else:
        show(contenders_table(summary.contenders), _legend(summary.contenders))
    if summary.verdicts:
        show(*verdict_tables(summary))
    else:
        show(Text("Gates: not run yet", style="dim"))
    show(*decision_lines(summary))


def contenders_table(found: Contenders) -> Table:
    """One line a contender; the best value of each column is marked by *."""
    table = _table("Contender")
    for metric in found.metrics:
        table.add_column(metric_name(metric), justify="right", no_wrap=True)
        table.add_column("95%", justify="right", no_wrap=True, style="dim")
        table.add_column("to best", justify="right", no_wrap=True)
    table.add_column("cover", justify="right", no_wrap=True)
    for row in found.rows:
        if row.measures:
            cells = [cell for metric in found.metrics for cell in _measure_cells(found, row, metric)]
            table.add_row(_name(row.name, "bold" if row.ours else ""), *cells, percent(row.coverage, 0))
    return table


def verdict_tables(summary: Summary) -> Iterator[Text | Table]:
    """A heading and a table for each metric of each gate; columns line up between them."""
    groups = [(gate, *group) for gate in summary.gates for group in summary.by_metric(gate)]
    for name, metric, verdicts in groups:
        yield Text(_clean(f"{name} gate: {metric_name(metric)}"), style="bold")
        table = _table("")
        table.show_header = False
        table.columns[0].width = 28
        for width in (7, 16, 12, 7):
            table.add_column(justify="right", no_wrap=True, min_width=width)
        table.add_column(no_wrap=True)
        for verdict in verdicts:
            table.add_row(
                _name(f"  {verdict.slice}", "", 28),
                verdict_value(verdict),
                verdict_bounds(verdict),
                f"floor {verdict_floor(verdict)}",
                f"n {verdict.n:,}",
                Text(verdict.status, style=_STYLES[verdict.status]),
            )
        yield table


def decision_lines(summary: Summary) -> Iterator[Text | Table]:
    """The decision in a few lines, ending with what an offline result is worth."""
    decision = summary.decision
    yield Text(_clean(decision.headline), style=_HEADLINES.get(decision.outcome, "bold yellow"))
    grid = Table.grid(padding=(0, 2, 0, 0))
    for label, sentence in _points(summary):
        grid.add_row(Text(label, style="bold"), Text(_clean(sentence)))
    yield grid
    yield Text(decision.caveat, style="dim")


def _points(summary: Summary) -> Iterator[tuple[str, str]]:
    decision, test = summary.decision, summary.experiment
    for one in decision.comparisons[1:]:
        yield "also", one.sentence
    if decision.regressed:
        yield "worse", "; ".join(decision.regressed[:3]) + (" ..." if len(decision.regressed) > 3 else "")
    if decision.unclear:
        yield "unclear", f"too few requests to tell: {', '.join(decision.unclear)}"
    yield "test", decision.test_reason
    if test is not None and test.detectable:
        effects = (f"{d.weeks} wk {_effect(d)} ({d.queries:,} queries)" for d in test.detectable)
        yield "detects", f"changes of {metric_name(test.metric)} from {percent(test.rate)}: {', '.join(effects)}"
    elif test is not None:
        yield "detects", f"not known: {test.problem}"
    for step in decision.next_steps:
        yield "next", step
    warnings = sum(caution.level == "warning" for caution in summary.cautions)
    if warnings:
        yield "warnings", f"{warnings}; see the report"


def _effect(one: Detectable) -> str:
    return signed_percent(one.relative) if one.possible else "none possible"


def _measure_cells(found: Contenders, row: Contender, metric: str) -> tuple[Text, str, Text]:
    measure = row.measures.get(metric)
    if measure is None:
        return Text(NONE), "", Text("")
    best = measure.value.mean == found.best(metric)
    value = Text(("*" if best else "") + number(measure.value.mean), style="bold" if best else "")
    span = f"{_short(measure.value.low)}-{_short(measure.value.high)}"
    if measure.difference is None:
        return value, span, Text("best base" if row.name == found.best_baseline.get(metric) else "", style="dim")
    low, high = measure.difference.low, measure.difference.high
    mark, style = ("+", "green") if low > 0 else ("-", "red") if high < 0 else ("=", "yellow")
    return value, span, Text(f"{signed(measure.difference.mean)} {mark}", style=style)


def _legend(found: Contenders) -> Text:
    return Text(
        f"* best of its column; to best: paired difference to the best baseline on {found.requests:,} requests, "
        "surely above (+), surely below (-) or neither (=) at 95%; cover: share of items shown",
        style="dim",
    )


def _table(first: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(first, no_wrap=True)
    return table


def _name(name: str, style: str, width: int = _NAME) -> Text:
    text = Text(_clean(name), style=style)
    text.truncate(width, overflow="ellipsis")
    return text


def _clean(text: str) -> str:
    """Without control characters: names come from data, and a terminal obeys those."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _short(value: float) -> str:
    return number(value).removeprefix("0")

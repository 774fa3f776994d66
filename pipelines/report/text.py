"""The summary in the terminal, on about one screen: who is ahead, what got worse, and at the end what to do."""

from __future__ import annotations

from collections.abc import Iterator

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.evaluation.bootstrap import Interval
from pipelines.evaluation.sampled import Sampled
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

_NAME, _CHECK = 26, 48  # columns of a contender and of a check; longer names are shortened
_ROWS, _POINTS = 8, 3  # contenders, and points of one kind, that are shown
_STYLES = {"pass": "green", "fail": "bold red", "cannot tell": "yellow"}
_VERDICTS: dict[Word, str] = {"ready for an A/B test": "bold green", "not ready": "bold red"}


def print_summary(summary: Summary, console: Console, everyone: bool = False) -> None:
    """Print standings, checks and the decision, at most 100 columns wide; everyone: with the whole leaderboard, values
    measured elsewhere, and sampled metrics, where there are any."""
    width = min(console.width, WIDTH)

    def show(*parts: Table | Text) -> None:
        for part in parts:
            console.print(part, width=width)
        console.print()

    if summary.board is None:
        show(Text("Contenders: not run yet", style="dim"))
    else:
        show(standings_table(summary.board, everyone), *_legend(summary.board, everyone))
    if everyone and summary.evaluated is not None and summary.evaluated.sampled is not None:
        show(*_sampled(summary.evaluated.sampled, summary.config["gate"]["list_k"]))
    if summary.verdicts:
        show(*checks(summary))
    else:
        show(Text("Gates: not run yet", style="dim"))
    if summary.evaluated is not None:
        show(Text(funnel_line(summary.evaluated.funnels)))
    show(*decision_lines(summary))


def standings_table(board: Standings, everyone: bool = False) -> Table:
    """One line a contender, the best of each column marked by *: the model's stages and the strongest baselines, or
    everyone; then the last column holds values measured elsewhere, where there are any, else the coverage."""
    elsewhere = everyone and _elsewhere(board)
    table = blank_table("Contender")
    for metric in board.metrics:
        table.add_column(metric_name(metric), justify="right", no_wrap=True)
        table.add_column("95%", justify="right", no_wrap=True, style="dim")
        table.add_column("ahead", justify="right", no_wrap=True)
    table.add_column("elsewhere" if elsewhere else "cover", justify="right", no_wrap=True)
    for entry in _shown(board, everyone):
        cells = [cell for metric in board.metrics for cell in _cells(board, entry, metric)]
        last = " ".join(_short(entry.references[metric]) for metric in board.metrics if metric in entry.references)
        table.add_row(
            _name(entry.name, "bold" if entry.ours else ""), *cells, last if elsewhere else percent(entry.coverage, 0)
        )
    return table


def checks(summary: Summary) -> Iterator[Text | Table]:
    """The gates' lifts over everything, and what does not pass."""
    table = blank_table("Check")
    for width in (7, 16, 7):
        table.add_column(justify="right", no_wrap=True, min_width=width)
    table.add_column(no_wrap=True, min_width=max(map(len, _STYLES)))
    shown = [v for v in summary.verdicts if not passed([v]) or (v.slice == "all" and is_lift(v))]
    for verdict in shown:
        table.add_row(
            _name(_check(verdict), "", _CHECK),
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


def _shown(board: Standings, everyone: bool) -> list[Entry]:
    if everyone:
        return list(board.entries)
    judged = [entry for entry in board.entries if entry.measures]
    named = {*board.strongest.values(), *board.popular.values()}
    return [entry for place, entry in enumerate(judged) if place < _ROWS or entry.ours or entry.name in named]


def _cells(board: Standings, entry: Entry, metric: str) -> tuple[Text, str, Text]:
    measure = entry.measures.get(metric)
    if measure is None:
        return Text(NONE), "", Text("")
    best = measure.value.mean == board.best(metric)
    mean, span = _level(measure.value)
    value = Text(("*" if best else "") + mean, style="bold" if best else "")
    if measure.behind is None:
        return value, span, Text("model" if board.model.get(metric) == entry.name else "", style="dim")
    low, high = measure.behind.low, measure.behind.high
    mark, style = ("+", "green") if low > 0 else ("-", "red") if high < 0 else ("=", "yellow")
    return value, span, Text(f"{signed(measure.behind.mean)} {mark}", style=style)


def _legend(board: Standings, everyone: bool) -> Iterator[Text]:
    left = 0 if everyone else len([entry for entry in board.entries if entry.measures]) - len(_shown(board, False))
    elsewhere = everyone and _elsewhere(board)
    last = "elsewhere: measured outside of this run" if elsewhere else "cover: share of items shown"
    yield Text(
        (f"and {left} more in the report; " if left else "")
        + f"* best of its column; ahead: the model over this one, paired on {board.requests:,} requests, surely ahead "
        f"(+), surely behind (-) or neither (=) at 95%; {last}",
        style="dim",
    )


def _elsewhere(board: Standings) -> bool:
    return any(entry.references for entry in board.entries)


def _sampled(found: Sampled, list_k: int) -> Iterator[Table | Text]:
    metrics = [f"{name}@{list_k}" for name in ("ndcg", "hit_rate", "mrr")]
    table = blank_table("Contender")
    for metric in metrics:
        table.add_column(metric_name(metric), justify="right", no_wrap=True)
        table.add_column("95%", justify="right", no_wrap=True, style="dim")
    for row in found.rows:
        measures = [row.measures[metric] for metric in metrics]
        table.add_row(_name(row.name, "", _NAME + 10), *(cell for one in measures for cell in _level(one)))
    yield table
    yield Text(
        f"sampled: to repeat a published table, not to decide; each target among up to {found.negatives:,} drawn items",
        style="dim",
    )


def _name(name: str, style: str, width: int = _NAME) -> Text:
    """Shortened in the middle: the ends of names tell variants of one baseline apart."""
    name = clean(name)
    text = Text(name if cell_len(name) <= width else f"{name[: width - 9]}…{name[-8:]}", style=style)
    text.truncate(width, overflow="ellipsis")
    return text


def _level(interval: Interval) -> tuple[str, str]:
    return number(interval.mean), f"{_short(interval.low)}-{_short(interval.high)}"


def _short(value: float) -> str:
    return number(value).removeprefix("0")

"""A replay in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.evaluation.bootstrap import Interval
from pipelines.evaluation.compared import Status, status_of
from pipelines.look.numbers import NONE, number, signed
from pipelines.look.terminal import WIDTH, clean
from pipelines.look.terminal import table as blank_table
from pipelines.rolling.results import Difference, Replay
from pipelines.rolling.variants import Refreshed, describe
from pipelines.rolling.words import metric_words, moment_words, month_words, sentences, spans_words

_NAME, _SHORT = 36, 16  # longest names that are shown in full
_STATES: dict[Status, tuple[str, str]] = {
    "better": ("above", "green"),
    "worse": ("below", "red"),
    "level": ("neither", "yellow"),
    "too few to tell": ("too few to tell", "dim"),
}


def print_rolling(replay: Replay, console: Console) -> None:
    """Print every variant, the steps, and what it comes to, at most 100 columns wide."""
    width = min(console.width, WIDTH)
    by_span = steps_table if replay.by == "step" else months_table
    for part in (_title(replay), variants_table(replay), by_span(replay), _legend(replay)):
        console.print(part, width=width)
        console.print()
    for sentence in sentences(replay):
        console.print(Text(clean(sentence)), width=width)
    console.print()


def variants_table(replay: Replay) -> Table:
    """One line a variant: each metric over all requests, and in the first and the last step that asked anything."""
    table = blank_table("Refreshed before each step")
    for metric in replay.metrics:
        for heading, style in ((metric_words(metric), ""), ("95%", "dim"), ("first", ""), ("last", "")):
            table.add_column(heading, justify="right", no_wrap=True, style=style)
    for name in replay.contenders:
        table.add_row(_name(name, _NAME, "bold"))
        for curve in replay.of(name):
            cells = []
            for metric in replay.metrics:
                found, asked = curve.overall[metric], [one for one in curve.by_step[metric] if one is not None]
                cells += [number(found.mean), _span(found), number(asked[0].mean), number(asked[-1].mean)]
            table.add_row(f"  {describe(curve.refreshed)}", *cells)
    return table


def steps_table(replay: Replay) -> Table:
    """One line a step: who asked, and the towers and the chosen popularity with nothing and with all refreshed."""
    main, *_ = replay.metrics
    table = blank_table("Step")
    for heading in ("from", "requests", "new", "no past"):
        table.add_column(heading, justify="right", no_wrap=True)
    shown = (replay.contenders[0], replay.chosen)
    for name in shown:
        table.add_column(_name(name, _SHORT), justify="right", no_wrap=True)
        table.add_column("refreshed", justify="right", no_wrap=True)
    for span in replay.spans:
        cells: list[str | Text] = [moment_words(replay, span.start)]
        cells += [f"{count:,}" for count in (span.requests, span.came_since, span.without_past)]
        for name in shown:
            level = replay.of(name)[0].by_step[main][span.number]
            cells += [number(None if level is None else level.mean)]
            cells += [_marked(replay.staleness(name).by_step[main][span.number])]
        table.add_row(str(span.number + 1), *cells)
    return table


def months_table(replay: Replay) -> Table:
    """One line a month: the towers against the chosen popularity, both with all but the towers refreshed."""
    main, *_ = replay.metrics
    table = blank_table("Month")
    shown, apart = (replay.contenders[0], replay.chosen), replay.against
    names = (_name(name, _SHORT) for name in shown)
    for heading in (Text("requests"), Text("queries"), *names, Text("difference"), Text("95%")):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    levels = [next(one for one in replay.of(name) if one.refreshed == fresh) for name, fresh in _compared(apart)]
    for span in replay.spans:
        gain, points = apart.by_step[main][span.number], [one.by_step[main][span.number] for one in levels]
        if gain is None:
            table.add_row(month_words(span), f"{span.requests:,}", *[NONE] * 5)
            continue
        state, style = _STATES[status_of(gain, replay.min_queries)]
        cells = [number(None if point is None else point.mean) for point in points]
        interval = f"{signed(gain.low)} {signed(gain.high)}"
        verdict = Text(state, style=style)
        table.add_row(
            month_words(span), f"{span.requests:,}", f"{gain.n:,}", *cells, signed(gain.mean), interval, verdict
        )
    return table


def _compared(apart: Difference) -> tuple[tuple[str, Refreshed], ...]:
    return (apart.contender, apart.refreshed), (apart.base_contender, apart.base_refreshed)


def _marked(gain: Interval | None) -> Text:
    """A paired difference, and whether it is surely one."""
    if gain is None:
        return Text(NONE)
    mark, style = ("+", "green") if gain.low > 0 else ("-", "red") if gain.high < 0 else ("=", "yellow")
    return Text(f"{signed(gain.mean)} {mark}", style=style)


def _title(replay: Replay) -> Text:
    return Text(
        f"Rolling replay of the test window: {spans_words(replay)}, {replay.requests:,} requests of "
        f"{replay.queries:,} queries",
        style="bold",
    )


def _legend(replay: Replay) -> Text:
    main = metric_words(replay.metrics[0])
    asked = (
        "Each event of a query with a past is asked for, with the history up to it"
        if replay.each_event
        else "A query with a past asks once in each step that it is active in"
    )
    if replay.by == "month":
        text = (
            f"First, last: in the first and last month. Months: {main} with all but the towers refreshed, and the "
            f"paired difference: surely above, surely below or neither at 95%; of fewer than {replay.min_queries} "
            f"queries, too few to tell. {asked}."
        )
    else:
        text = (
            f"First, last: in the first and last step. Steps: {main} with nothing refreshed, and what refreshing all "
            f"but the towers adds: surely above (+), surely below (-) or neither (=) at 95%. {asked}; new: of those "
            "queries, came after the test cut; no past: came within the step."
        )
    return Text(text, style="dim")


def _name(name: str, width: int, style: str = "") -> Text:
    text = Text(clean(name), style=style)
    text.truncate(width, overflow="ellipsis")
    return text


def _span(found: Interval) -> str:
    return f"{number(found.low).removeprefix('0')}-{number(found.high).removeprefix('0')}"

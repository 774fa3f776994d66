"""A replay in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.evaluation.bootstrap import Interval
from pipelines.look.numbers import NONE, number, signed
from pipelines.look.terminal import WIDTH, clean
from pipelines.look.terminal import table as blank_table
from pipelines.rolling.results import Replay
from pipelines.rolling.variants import describe
from pipelines.rolling.words import metric_words, moment_words, sentences, step_words

_NAME, _SHORT = 36, 16  # longest names that are shown in full


def print_rolling(replay: Replay, console: Console) -> None:
    """Print every variant, the steps, and what it comes to, at most 100 columns wide."""
    width = min(console.width, WIDTH)
    for part in (_title(replay), variants_table(replay), steps_table(replay), _legend(replay)):
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


def _marked(gain: Interval | None) -> Text:
    """A paired difference, and whether it is surely one."""
    if gain is None:
        return Text(NONE)
    mark, style = ("+", "green") if gain.low > 0 else ("-", "red") if gain.high < 0 else ("=", "yellow")
    return Text(f"{signed(gain.mean)} {mark}", style=style)


def _title(replay: Replay) -> Text:
    return Text(
        f"Rolling replay of the test window: {len(replay.spans)} steps of {step_words(replay)}, {replay.requests:,} "
        f"requests of {replay.queries:,} queries",
        style="bold",
    )


def _legend(replay: Replay) -> Text:
    return Text(
        f"First, last: in the first and last step. Steps: {metric_words(replay.metrics[0])} with nothing refreshed, "
        "and what refreshing all but the towers adds: surely above (+), surely below (-) or neither (=) at 95%. A "
        "query with a past asks once in each step that it is active in; new: of those, came after the test cut; no "
        "past: came within the step, not asked.",
        style="dim",
    )


def _name(name: str, width: int, style: str = "") -> Text:
    text = Text(clean(name), style=style)
    text.truncate(width, overflow="ellipsis")
    return text


def _span(found: Interval) -> str:
    return f"{number(found.low).removeprefix('0')}-{number(found.high).removeprefix('0')}"

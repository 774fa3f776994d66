"""A comparison in the terminal, at most 100 columns wide."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.compare.comparison import Comparison, Level
from pipelines.look.numbers import NONE, change, number, signed
from pipelines.look.terminal import WIDTH, clean
from pipelines.look.terminal import table as blank_table
from pipelines.report.wording import metric_name

_SLICES, _KEYS = 12, 24  # lines of each that are shown
_VALUE = 24  # longest value of a key that is shown in full


def print_comparison(found: Comparison, console: Console) -> None:
    """Print what each run is worth, what got worse against the first, where configs differ, and what to do."""
    width = min(console.width, WIDTH)
    for part in _parts(found):
        console.print(part, width=width)


def _parts(found: Comparison) -> Iterator[Table | Text]:
    yield _runs(found)
    yield Text(
        "to run 1: the paired difference, surely ahead (+), surely behind (-) or neither (=) at 95%; baseline: the "
        "strongest of all",
        style="dim",
    )
    for place, row in enumerate(found.rows, start=1):
        if row.unpaired:
            yield Text(clean(f"Run {place}: levels only, as it was {row.unpaired}."), style="yellow")
    yield Text("")
    yield from _slices(found)
    yield from _settings(found)
    yield Text(clean(found.advice), style="bold")


def _runs(found: Comparison) -> Table:
    """One line a run, numbered; the first is what the others are compared with."""
    table = blank_table("Run")
    for metric in found.metrics:
        for heading, style in ((metric_name(metric), ""), ("95%", "dim"), ("to run 1", ""), ("baseline", "dim")):
            table.add_column(heading, justify="right", no_wrap=True, style=style)
    table.add_column("verdict", no_wrap=True)
    for place, row in enumerate(found.rows, start=1):
        cells = [cell for metric in found.metrics for cell in _cells(row.levels.get(metric), place == 1)]
        table.add_row(str(place), *cells, row.verdict.replace("for an A/B test", "to test"))
    grid = Table.grid()
    for place, row in enumerate(found.rows, start=1):
        grid.add_row(Text(clean(f"{place}  {row.run}  ({row.requests:,} requests)")))
    grid.add_row("")
    grid.add_row(table)
    return grid


def _cells(level: Level | None, first: bool) -> tuple[str | Text, ...]:
    if level is None:
        return (NONE, "", "", "")
    low, high = number(level.value.low).removeprefix("0"), number(level.value.high).removeprefix("0")
    gap = level.ahead
    said = Text("" if first else NONE)
    if gap is not None:
        mark, style = ("+", "green") if gap.low > 0 else ("-", "red") if gap.high < 0 else ("=", "yellow")
        said = Text(f"{signed(gap.mean)} {mark}", style=style)
    return number(level.value.mean), f"{low}-{high}", said, number(level.baseline)


def _slices(found: Comparison) -> Iterator[Text]:
    compared = [row for row in found.rows[1:] if not row.unpaired]
    if not compared:
        return
    if not found.regressions:
        yield Text("No slice is surely worse than in run 1.\n", style="green")
        return
    places = {row.run: place for place, row in enumerate(found.rows, start=1)}
    yield Text("Slices that are surely worse than in run 1", style="bold red")
    for one in found.regressions[:_SLICES]:
        what = f"{metric_name(one.metric)} of the {one.stage}"
        yield Text(clean(f"  run {places[one.run]}, {one.slice}: {what} {change(one.ahead)}, n={one.ahead.n:,}"))
    left = len(found.regressions) - _SLICES
    yield Text(f"  and {left} more on the page\n" if left > 0 else "")


def _settings(found: Comparison) -> Iterator[Table | Text]:
    if not found.settings:
        yield Text("The configs are the same.\n", style="dim")
        return
    table = blank_table("Differs in the configs")
    for place in range(1, len(found.rows) + 1):
        table.add_column(f"run {place}", max_width=_VALUE, overflow="ellipsis", no_wrap=True)
    for one in found.settings[:_KEYS]:
        table.add_row(one.key, *(Text(clean(value or NONE)) for value in one.values))
    yield table
    left = len(found.settings) - _KEYS
    yield Text(f"and {left} more on the page\n" if left > 0 else "")

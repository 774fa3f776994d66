"""Slices as small multiples: one panel for each thing that requests, or their targets, are told apart by."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipelines.evaluation.compared import Status
from pipelines.evaluation.sliced import SliceResult
from pipelines.look.svg import ACCENT, BAD, GOOD, INK, ROW, SETTINGS, UNSURE, name_rows, short, svg, whisker
from pipelines.report.plots.caption import caption

_WIDTH = 4.6  # inches: two stand side by side
_MARKS: dict[Status, tuple[str, str]] = {
    "worse": (BAD, "s"),
    "better": (GOOD, "o"),
    "level": (ACCENT, "o"),
    "too few to tell": (UNSURE, "x"),
}


def slices_plot(rows: Sequence[SliceResult], limits: tuple[float, float], name: str) -> str:
    """Inline SVG of one dimension: the difference to the strongest baseline in each slice, in the order given; where
    it is surely worse than the strongest popularity by more, the difference to that, which is named then."""
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(_WIDTH, ROW * len(rows) + 0.85), layout="constrained")
        axes = figure.subplots()
        axes.axvline(0, color=INK, linewidth=0.8)
        for place, row in enumerate(rows):
            whisker(axes, place, row.against.difference, *_MARKS[row.against.status])
        name_rows(axes, [f"{short_slice(row)} ({row.n:,}){_rival(row)}" for row in rows])
        _trim(axes, limits)
        caption(figure, short(rows[0].dimension), f"less {short(rows[0].hardest.rival)}")
        return svg(figure, name)


def limits_of(rows: Sequence[SliceResult]) -> tuple[float, float]:
    """One scale for all panels: what is sure enough to be judged fits in, and 0."""
    told = [row.against.difference for row in rows if row.against.status != "too few to tell"]
    low, high = min((one.low for one in told), default=0.0), max((one.high for one in told), default=0.0)
    room = 0.05 * max(high - low, 1e-3)
    return min(low, 0.0) - room, max(high, 0.0) + room


def short_slice(row: SliceResult) -> str:
    """The slice without its dimension, which the panel's title names."""
    return row.slice.removeprefix(row.dimension).lstrip(": ") or row.slice


def _rival(row: SliceResult) -> str:
    return "" if row.against == row.hardest else f", less {short(row.against.rival)}"


def _trim(axes: Axes, limits: tuple[float, float]) -> None:
    axes.set_xlim(*limits)
    axes.locator_params(axis="x", nbins=5)

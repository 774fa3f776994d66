"""Lifts of a gate by slice."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib
from matplotlib.figure import Figure

from pipelines.look.svg import BAD, GOOD, INK, ROW, SETTINGS, UNSURE, WIDTH, name_rows, svg, whisker
from pipelines.report.plots.caption import caption
from pipelines.verdicts import Verdict

_STATUS = {"pass": (GOOD, "o"), "fail": (BAD, "s"), "cannot tell": (UNSURE, "D")}
_MOST_ROWS = 24


def lifts_plot(verdicts: Sequence[Verdict], name: str) -> str:
    """A forest plot: the lift of every slice with its interval, against level and the floors."""
    finite = [v for v in verdicts if all(map(math.isfinite, (v.value, v.low, v.high)))]
    overall = [v for v in finite if v.slice == "all"]
    slices = sorted((v for v in finite if v.slice != "all"), key=lambda v: v.value)[: _MOST_ROWS - len(overall)]
    shown = overall + [v for v in finite if v in slices]
    if not shown:
        return ""
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH, ROW * len(shown) + 0.8), layout="constrained")
        axes = figure.subplots()
        axes.axvline(0, color=INK, linewidth=0.8)
        for place, verdict in enumerate(shown):
            colour, marker = _STATUS[verdict.status]
            whisker(axes, place, verdict, colour, marker, percent=True)
            axes.plot([verdict.floor * 100] * 2, [place - 0.35, place + 0.35], color=BAD, linewidth=1.2)
        name_rows(axes, [f"{verdict.slice} (n={verdict.n})" for verdict in shown])
        caption(figure, below="lift in %; thick line: 95% interval; short red bar: floor")
        return svg(figure, name)

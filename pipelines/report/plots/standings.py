"""Every contender's value of one headline metric with its interval."""

from __future__ import annotations

import matplotlib
from matplotlib.figure import Figure

from pipelines.look.svg import ACCENT, INK, ROW, SETTINGS, name_rows, whisker
from pipelines.report.plots.caption import caption
from pipelines.report.standings import Standings
from pipelines.report.wording import metric_name

_WIDTH = 4.6  # inches: two stand side by side


def standings_figure(board: Standings, metric: str) -> Figure | None:
    """Best first, the model's stages in colour; None where nobody has been judged by the metric."""
    rows = [entry for entry in board.entries if metric in entry.measures]
    if not rows:
        return None
    rows.sort(key=lambda entry: -entry.measures[metric].value.mean)
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(_WIDTH, ROW * len(rows) + 0.7), layout="constrained")
        axes = figure.subplots()
        for place, entry in enumerate(rows):
            whisker(axes, place, entry.measures[metric].value, ACCENT if entry.ours else INK, "o")
        name_rows(axes, [entry.name for entry in rows])
        axes.locator_params(axis="x", nbins=6)
        caption(figure, metric_name(metric))
        return figure

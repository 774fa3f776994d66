"""A comparison as one HTML file that needs nothing else."""

from __future__ import annotations

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

from configs.version import VERSION
from pipelines.compare.comparison import Comparison
from pipelines.look.svg import ACCENT, INK, ROW, SETTINGS, name_rows, svg, whisker
from pipelines.look.template import environment
from pipelines.report.plots.caption import caption
from pipelines.report.variety import NAMES
from pipelines.report.wording import metric_name

_WIDTH = 4.6  # inches: two stand side by side


def page(found: Comparison) -> str:
    """The page's HTML; everything that comes from data is escaped."""
    templates = environment("pipelines.compare", "pipelines.report")
    templates.filters["metric_name"] = metric_name
    plots = {metric: Markup(text) for metric in found.metrics if (text := _levels(found, metric))}
    return templates.get_template("compare.html").render(c=found, plots=plots, varied=_varied(found), version=VERSION)


def _levels(found: Comparison, metric: str) -> str:
    """Each run's model, and its strongest baseline as a hollow mark."""
    rows = [(place, row.levels[metric]) for place, row in enumerate(found.rows, start=1) if metric in row.levels]
    if not rows:
        return ""
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(_WIDTH, ROW * 1.4 * len(rows) + 0.9), layout="constrained")
        axes = figure.subplots()
        for place, (_, level) in enumerate(rows):
            whisker(axes, place, level.value, ACCENT, "o")
            axes.plot([level.baseline], [place], "D", color=INK, fillstyle="none", markersize=5.5)
        name_rows(axes, [f"run {number}: {level.stage}" for number, level in rows])
        axes.locator_params(axis="x", nbins=5)
        caption(figure, metric_name(metric), "hollow: strongest baseline")
        return svg(figure, f"levels-{metric.replace('@', '-')}")


def _varied(found: Comparison) -> dict[str, list[float]]:
    """Values of each quality of the final lists by run, NaN where it is not known."""
    known = [{change.metric: change.ours for change in row.changes} for row in found.rows]
    return {
        name: [one.get(metric, float("nan")) for one in known]
        for metric, name in NAMES.items()
        if any(metric in one for one in known)
    }

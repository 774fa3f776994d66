"""Every figure of the page that there are numbers for, as inline SVG by its place."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from pipelines.look.svg import svg
from pipelines.report.evaluated import Evaluated
from pipelines.report.panels import panels
from pipelines.report.plots.curves import curves_plot
from pipelines.report.plots.funnel import ceilings_figure, funnel_figure
from pipelines.report.plots.lifts import lifts_plot
from pipelines.report.plots.scores import scores_plot
from pipelines.report.plots.searcher import searcher_plot
from pipelines.report.plots.slices import limits_of, slices_plot
from pipelines.report.plots.standings import standings_figure
from pipelines.report.summary import Summary
from pipelines.report.wording import is_lift
from pipelines.rolling.plot import rolling_plot


def figures(summary: Summary) -> dict[str, Markup]:
    """Matplotlib has escaped the names in them; what has nothing to show is left out."""
    return {name: Markup(svg) for name, svg in _all(summary) if svg}


def _all(summary: Summary) -> Iterator[tuple[str, str]]:
    if summary.board is not None:
        for place, metric in enumerate(summary.board.metrics):
            figure = standings_figure(summary.board, metric)
            yield f"standings {metric}", svg(figure, f"standings{place}") if figure is not None else ""
    if summary.evaluated is not None:
        yield from _evaluated(summary.evaluated)
    for place, gate in enumerate(summary.gates):
        lifts = [verdict for verdict in summary.of_gate(gate) if is_lift(verdict)]
        yield f"gate {gate}", lifts_plot(lifts, f"gate{place}") if len(lifts) > 1 else ""
    if summary.rolling is not None:
        for metric in summary.rolling.metrics:
            yield f"rolling {metric}", rolling_plot(summary.rolling, metric)
    if summary.training is not None:
        yield "curves", curves_plot(summary.training.curves, summary.training.best_epoch)
    if summary.searcher is not None:
        yield "searcher", searcher_plot(summary.searcher)


def _evaluated(found: Evaluated) -> Iterator[tuple[str, str]]:
    for group in panels(found.slices).values():
        limits = limits_of([row for panel in group for row in panel.rows])
        for panel in group:
            yield panel.name, slices_plot(panel.rows, limits, panel.name)
    funnels = found.funnels
    yield "funnel", svg(funnel_figure(funnels.rows[0], funnels.k, funnels.list_k), "funnel")
    yield "ceilings", svg(ceilings_figure(found.ceilings), "ceilings")
    for place, model in enumerate(found.spreads.models):
        yield f"scores {model.model}", scores_plot(model, f"scores{place}")

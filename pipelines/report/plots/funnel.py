"""The funnel: how many held-out items are left after each stage, and what perfect ranking could still make of them."""

from __future__ import annotations

import matplotlib
from matplotlib.figure import Figure

from pipelines.evaluation.ceilings import Ceilings
from pipelines.evaluation.funnel import Funnel
from pipelines.look.svg import ACCENT, GOOD, INK, ROW, SETTINGS, name_rows
from pipelines.report.plots.caption import caption
from pipelines.report.wording import metric_name

_WIDTH = 4.6  # inches: two stand side by side
_BAR = ROW * 1.35


def funnel_figure(found: Funnel, k: int, list_k: int) -> Figure:
    """Bars of what is left, from all held-out items down to those shown."""
    stages = (
        "held out",
        "in the catalogue",
        "not filtered",
        f"in the exact best {k}",
        "found by the index",
        f"in the ranker's first {list_k}",
        "in the final list",
    )
    left = (found.total, *found.left_after())
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(_WIDTH, _BAR * len(stages) + 0.5), layout="constrained")
        axes = figure.subplots()
        axes.barh(range(len(left)), left, color=ACCENT, height=0.7)
        for place, count in enumerate(left):
            share = count / max(found.total, 1)
            axes.text(count + found.total * 0.015, place, f"{count:,} ({share:.1%})", va="center", color=INK)
        name_rows(axes, stages)
        axes.set_xlim(0, found.total * 1.35)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        caption(figure, "Held-out items left after each stage")
        return figure


def ceilings_figure(found: Ceilings) -> Figure:
    """What the list's NDCG would be if what is left were ranked perfectly, above what it is."""
    metric = f"ndcg@{found.list_k}"
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(_WIDTH, _BAR * len(found.rows) + 0.5), layout="constrained")
        axes = figure.subplots()
        for place, row in enumerate(found.rows):
            one = row.measures[metric]
            colour = GOOD if row.perfect else ACCENT
            axes.barh(place, one.mean, color=colour, height=0.7, alpha=0.55 if row.perfect else 1)
            axes.plot([one.low, one.high], [place, place], color=INK, linewidth=1.2)
            axes.text(max(one.high, one.mean) + 0.015, place, f"{one.mean:.3f}", va="center", color=INK)
        name_rows(axes, [row.name.replace("perfect ranking of", "perfect:") for row in found.rows])
        axes.set_xlim(0, 1.2)
        axes.set_xticks([0, 0.5, 1])
        caption(figure, f"{metric_name(metric)}, ranked perfectly and as it is")
        return figure

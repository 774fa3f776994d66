"""What recall costs: every setting of the searcher that was measured."""

from __future__ import annotations

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from pipelines.index.record import IndexTuning
from pipelines.look.svg import ACCENT, FAINT, GOOD, INK, SETTINGS, WIDTH, svg

_SHOWN = 0.5  # recall below is of no use, and would squeeze the rest


def searcher_plot(tuning: IndexTuning) -> str:
    """Recall against exact search over microseconds a query; those that nothing betters are joined, the one in use
    is marked."""
    shown = [place for place, trial in enumerate(tuning.trials) if trial.recall >= _SHOWN]
    if len(shown) < 2:
        return ""
    best = sorted(set(shown) & set(tuning.pareto), key=lambda place: tuning.trials[place].microseconds)
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH, 2.4), layout="constrained")
        axes = figure.subplots()
        for places, style, colour, size, label in (
            (shown, "o", INK, 3, "measured"),
            (best, "o-", ACCENT, 4, "nothing is better"),
            ([tuning.chosen], "D", GOOD, 7, "in use"),
        ):
            points = [tuning.trials[place] for place in places]
            spent, recalls = [one.microseconds for one in points], [one.recall for one in points]
            axes.plot(spent, recalls, style, color=colour, markersize=size, label=label)
        axes.axhline(tuning.target, color=FAINT, linewidth=0.8)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(axis="y")
        axes.set_xlabel("microseconds a query")
        axes.set_ylabel(f"recall@{tuning.k}")
        axes.legend(loc="best")
        return svg(figure, "searcher")

"""How scores are spread: those of the targets beside those of the other candidates."""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from pipelines.evaluation.scores import ScoreSpread
from pipelines.look.svg import ACCENT, INK, SETTINGS, svg

_SIZE = (4.6, 2.2)  # inches: two stand side by side


def scores_plot(found: ScoreSpread, name: str) -> str:
    """Both histograms, each as a share of its own kind."""
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes = figure.subplots()
        others, targets = (100 * np.array(kind) / max(sum(kind), 1) for kind in (found.others, found.targets))
        axes.stairs(others, found.edges, color=INK, fill=True, alpha=0.35, label="others")
        axes.stairs(targets, found.edges, color=ACCENT, linewidth=1.5, label="targets")
        axes.set_ylabel("% of the kind")
        axes.set_xlabel("score")
        axes.set_title(found.model)
        axes.legend()
        return svg(figure, name)

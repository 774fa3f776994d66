"""Training curves."""

from __future__ import annotations

import matplotlib
from matplotlib.figure import Figure

from pipelines.look.svg import ACCENT, GOOD, INK, SETTINGS, WIDTH, svg
from pipelines.report.curves import Curve


def curves_plot(curves: dict[str, Curve], best_epoch: int) -> str:
    """Validation metrics and loss by epoch; the chosen epoch is marked."""
    panels = [
        ("validation", {tag: curves[f"towers/{tag}"] for tag in ("recall", "ndcg") if f"towers/{tag}" in curves}),
        ("loss", {tag: curves[f"{tag}/loss"] for tag in ("towers", "refit") if f"{tag}/loss" in curves}),
    ]
    panels = [(title, lines) for title, lines in panels if lines]
    if not panels:
        return ""
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH, 1.9 * len(panels)), layout="constrained")
        all_axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
        for (title, lines), axes in zip(panels, all_axes, strict=True):
            styles = ((ACCENT, "-"), (INK, "--"))
            for (tag, curve), (colour, style) in zip(lines.items(), styles, strict=False):
                axes.plot(*zip(*curve, strict=True), style, marker="o", markersize=3, color=colour, label=tag)
            axes.axvline(best_epoch, color=GOOD, linewidth=0.8)
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.grid(axis="y")
            axes.set_title(title)
            axes.legend()
        all_axes[-1].set_xlabel(f"epoch (upright line: epoch {best_epoch}, the one kept)")
        return svg(figure, "curves")

"""Words above and below a figure, laid out against all of it: beside long names of rows a plot may be narrow."""

from __future__ import annotations

from matplotlib.figure import Figure


def caption(figure: Figure, title: str = "", below: str = "") -> None:
    """A title at the left, and a line for the axis in the middle."""
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    if below:
        figure.supxlabel(below, fontsize=9)

"""Plots as SVG text to be set inline in a page: colours are the page's own, so they follow light and dark."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Matplotlib knows no CSS variables: it draws in these colours, which are replaced in its SVG.
INK, FAINT, ACCENT, GOOD, BAD, UNSURE = "#010203", "#010204", "#010205", "#010206", "#010207", "#010208"
_VARIABLES = {
    INK: "var(--ink)",
    FAINT: "var(--faint)",
    ACCENT: "var(--accent)",
    GOOD: "var(--good)",
    BAD: "var(--bad)",
    UNSURE: "var(--unsure)",
}
SETTINGS: Any = {
    "svg.fonttype": "none",  # text stays text: searchable, and in the page's font
    "svg.hashsalt": "twinspire",  # the same ids for the same plot
    "text.parse_math": False,  # names may hold dollar signs
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "legend.frameon": False,
}
WIDTH, ROW = 5.6, 0.24  # inches
_LONGEST = 30


def whisker(axes: Axes, place: int, found: object, colour: str, marker: str, percent: bool = False) -> None:
    """An estimate with its interval on row `place`: `found` has low, high and mean (as a lift in %: value)."""
    scale = 100 if percent else 1
    low, high, mean = (scale * getattr(found, part) for part in ("low", "high", "mean" if not percent else "value"))
    axes.plot([low, high], [place, place], color=colour, linewidth=2, solid_capstyle="butt")
    axes.plot([mean], [place], marker=marker, color=colour, markersize=5.5, linestyle="none")


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Name the rows of a plot, the first at the top."""
    axes.set_yticks(range(len(names)), [short(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.set_axisbelow(True)


def short(name: str) -> str:
    """A name that fits beside a plot."""
    name = "".join(letter if letter.isprintable() else " " for letter in name)
    return name if len(name) <= _LONGEST else name[: _LONGEST - 3] + "..."


def svg(figure: Figure, name: str) -> str:
    """The figure without what only a file of its own needs; ids are made unique to `name`."""
    buffer = io.StringIO()
    with matplotlib.rc_context(SETTINGS), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of letters that the measuring font lacks and the page's has
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r"<style.*?</style>|<!--.*?-->", "", text, flags=re.DOTALL)  # a style would hold for the whole page
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text).replace("xlink:href", "href")
    # Quotes in text content are left alone by these: an attribute is preceded by a space inside a tag.
    text = re.sub(r'(<[^<>]*? id=")([^"]*")', rf"\1{name}-\2", text)
    text = re.sub(r'(href="#|url\(#)', rf"\1{name}-", text)
    text = re.sub(r'(<svg [^>]*?)width="[^"]*"', r'\1aria-hidden="true" focusable="false"', text, count=1)
    text = re.sub(r'(<svg [^>]*?) height="[^"]*"', r"\1", text, count=1)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    return text

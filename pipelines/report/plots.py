"""Plots as SVG text to be set inline in a page: colours are the page's own, so they follow light and dark."""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipelines.report.contenders import Contenders
from pipelines.report.curves import Curve
from pipelines.report.wording import metric_name
from pipelines.verdicts import Verdict

# Matplotlib knows no CSS variables: it draws in these colours, which are replaced in its SVG.
_INK, _FAINT, _ACCENT, _GOOD, _BAD, _UNSURE = "#010203", "#010204", "#010205", "#010206", "#010207", "#010208"
_VARIABLES = {
    _INK: "var(--ink)",
    _FAINT: "var(--faint)",
    _ACCENT: "var(--accent)",
    _GOOD: "var(--good)",
    _BAD: "var(--bad)",
    _UNSURE: "var(--unsure)",
}
_STATUS = {"pass": (_GOOD, "o"), "fail": (_BAD, "s"), "cannot tell": (_UNSURE, "D")}
_SETTINGS: Any = {
    "svg.fonttype": "none",  # text stays text: searchable, and in the page's font
    "svg.hashsalt": "twinspire",  # the same ids for the same plot
    "text.parse_math": False,  # names may hold dollar signs
    "font.size": 9,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _FAINT,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": _FAINT,
    "grid.linewidth": 0.5,
    "legend.frameon": False,
}
_WIDTH, _ROW = 5.6, 0.24  # inches
_MOST_ROWS = 24
_LONGEST = 30


def contenders_plot(found: Contenders) -> str:
    """Every contender's metrics with their intervals, one panel a metric."""
    with matplotlib.rc_context(_SETTINGS):
        rows = {metric: [row for row in found.rows if metric in row.measures] for metric in found.metrics}
        heights = [max(len(part), 1) for part in rows.values()]
        figure = Figure(figsize=(_WIDTH, _ROW * sum(heights) + 0.75 * len(rows)), layout="constrained")
        figure.get_layout_engine().set(hspace=0.06)  # type: ignore[union-attr, call-arg]
        panels = figure.subplots(len(rows), 1, height_ratios=heights, squeeze=False)[:, 0]
        for (metric, part), axes in zip(rows.items(), panels, strict=True):
            for place, row in enumerate(part):
                _whisker(axes, place, row.measures[metric].value, _ACCENT if row.ours else _INK, "o")
            _rows(axes, [row.name for row in part])
            axes.set_title(metric_name(metric))
        return _svg(figure, "contenders")


def lifts_plot(verdicts: Sequence[Verdict], name: str) -> str:
    """A forest plot: the lift of every slice with its interval, against level and the floors."""
    finite = [v for v in verdicts if all(map(math.isfinite, (v.value, v.low, v.high)))]
    overall = [v for v in finite if v.slice == "all"]
    slices = sorted((v for v in finite if v.slice != "all"), key=lambda v: v.value)[: _MOST_ROWS - len(overall)]
    shown = overall + [v for v in finite if v in slices]
    if not shown:
        return ""
    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=(_WIDTH, _ROW * len(shown) + 0.8), layout="constrained")
        axes = figure.subplots()
        axes.axvline(0, color=_INK, linewidth=0.8)
        for place, verdict in enumerate(shown):
            colour, marker = _STATUS[verdict.status]
            _whisker(axes, place, verdict, colour, marker, percent=True)
            axes.plot([verdict.floor * 100] * 2, [place - 0.35, place + 0.35], color=_BAD, linewidth=1.2)
        _rows(axes, [f"{verdict.slice} (n={verdict.n})" for verdict in shown])
        axes.set_xlabel("lift in %; thick line: 95% interval; short red bar: floor")
        return _svg(figure, name)


def curves_plot(curves: dict[str, Curve], best_epoch: int) -> str:
    """Validation metrics and loss by epoch; the chosen epoch is marked."""
    panels = [
        ("validation", {tag: curves[f"towers/{tag}"] for tag in ("recall", "ndcg") if f"towers/{tag}" in curves}),
        ("loss", {tag: curves[f"{tag}/loss"] for tag in ("towers", "refit") if f"{tag}/loss" in curves}),
    ]
    panels = [(title, lines) for title, lines in panels if lines]
    if not panels:
        return ""
    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=(_WIDTH, 1.9 * len(panels)), layout="constrained")
        all_axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
        for (title, lines), axes in zip(panels, all_axes, strict=True):
            styles = ((_ACCENT, "-"), (_INK, "--"))
            for (tag, curve), (colour, style) in zip(lines.items(), styles, strict=False):
                axes.plot(*zip(*curve, strict=True), style, marker="o", markersize=3, color=colour, label=tag)
            axes.axvline(best_epoch, color=_GOOD, linewidth=0.8)
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.grid(axis="y")
            axes.set_title(title)
            axes.legend()
        all_axes[-1].set_xlabel(f"epoch (upright line: epoch {best_epoch}, the one kept)")
        return _svg(figure, "curves")


def _whisker(axes: Axes, place: int, found: object, colour: str, marker: str, percent: bool = False) -> None:
    scale = 100 if percent else 1
    low, high, mean = (scale * getattr(found, part) for part in ("low", "high", "mean" if not percent else "value"))
    axes.plot([low, high], [place, place], color=colour, linewidth=2, solid_capstyle="butt")
    axes.plot([mean], [place], marker=marker, color=colour, markersize=5.5, linestyle="none")


def _rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [_short(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.set_axisbelow(True)


def _short(name: str) -> str:
    name = "".join(letter if letter.isprintable() else " " for letter in name)
    return name if len(name) <= _LONGEST else name[: _LONGEST - 3] + "..."


def _svg(figure: Figure, name: str) -> str:
    """The figure without what only a file of its own needs; ids are made unique to `name`."""
    buffer = io.StringIO()
    with warnings.catch_warnings():
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

"""A replay as a picture."""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipelines.look.svg import ACCENT, BAD, FAINT, GOOD, INK, SETTINGS, UNSURE, WIDTH, short, svg
from pipelines.rolling.results import ByStep, Replay
from pipelines.rolling.variants import COUNTS, HISTORIES, INDEX, TOWERS, Refreshed, describe
from pipelines.rolling.words import metric_words

_PANEL = 1.9  # inches
_STYLES: dict[Refreshed, tuple[str, str, str]] = {
    (): (BAD, ":", "o"),
    (HISTORIES,): (UNSURE, "--", "s"),
    (INDEX,): (INK, "--", "^"),
    (COUNTS,): (GOOD, "-", "D"),
    (HISTORIES, INDEX): (GOOD, "-", "D"),
    (HISTORIES, COUNTS): (GOOD, "-", "D"),
    (HISTORIES, INDEX, TOWERS): (ACCENT, "-", "o"),
}
_OTHERS = ((ACCENT, "-", "o"), (INK, "--", "s"), (UNSURE, ":", "^"), (BAD, "-.", "D"))
_SPREAD = 0.09  # of a span, between the whiskers of two curves


def rolling_plot(replay: Replay, metric: str) -> str:
    """Inline SVG, with 95 % intervals, by step: `metric` (one of `replay.metrics`) of the towers' and the chosen
    popularity's variants, and paired, what refreshing everything adds to each contender and how those two compare."""
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH, 4 * _PANEL), layout="constrained")
        upper, middle, lower, last = figure.subplots(4, 1, sharex=True)
        middle.sharey(upper)
        for axes, name in ((upper, replay.contenders[0]), (middle, replay.chosen)):
            curves = replay.of(name)
            for place, curve in enumerate(curves):
                style = _STYLES[curve.refreshed]
                _draw(axes, replay, curve.by_step[metric], style, describe(curve.refreshed), place, len(curves))
            _dress(axes, f"{short(name)}: {metric_words(metric)}", "refreshed")
        for axes in (lower, last):
            axes.axhline(0, color=FAINT, linewidth=0.8)
        names = replay.contenders
        for place, name in enumerate(names):
            points, style = replay.staleness(name).by_step[metric], _OTHERS[place % len(_OTHERS)]
            _draw(lower, replay, points, style, short(name), place, len(names))
        _dress(lower, f"what refreshing all but the towers adds: {metric_words(metric)}", None)
        apart = replay.against
        _draw(last, replay, apart.by_step[metric], _OTHERS[0], "towers less popularity", 0, 1)
        _dress(last, f"towers less {short(replay.chosen)}, both refreshed: {metric_words(metric)}", None)
        last.set_xlabel(f"{replay.unit}s since the test cut, at the start of the {replay.by}")
        return svg(figure, f"rolling-{metric.replace('@', '-')}")


def _draw(
    axes: Axes, replay: Replay, points: ByStep, style: tuple[str, str, str], label: str, place: int, places: int
) -> None:
    """A curve with whiskers, a little aside so that those of others stay visible; a gap where nothing was asked."""
    colour, line, marker = style
    starts = np.array([span.age for span in replay.spans])
    apart = np.median(np.diff(starts)) if len(starts) > 1 else replay.step
    age = starts + _SPREAD * apart * (place - (places - 1) / 2)
    mean, low, high = (
        np.array([np.nan if point is None else getattr(point, part) for point in points])
        for part in ("mean", "low", "high")
    )
    axes.vlines(age, low, high, color=colour, linewidth=1)
    axes.plot(age, mean, line, marker=marker, markersize=3.5, linewidth=1.2, color=colour, label=label)


def _dress(axes: Axes, title: str, legend: str | None) -> None:
    axes.set_title(title)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.legend(title=legend, loc="upper left", bbox_to_anchor=(1, 1), borderaxespad=0, fontsize=8, title_fontsize=8)

"""The plots of the diagnosis, as SVG text by name; what has nothing to show is left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from pipelines.diagnose.diagnosis import Diagnosis
from pipelines.diagnose.findings.base import metric_name
from pipelines.diagnose.histories import GROUPS, group_name
from pipelines.look.svg import ACCENT, INK, ROW, SETTINGS, UNSURE, name_rows, svg, whisker

_SIZE = (4.4, 2.3)  # inches: two stand side by side
_BINS = 180  # points of a line over the days
_DAY = 86_400


def plots(found: Diagnosis) -> dict[str, Markup]:
    """Every plot that the diagnosis has numbers for; matplotlib escapes the names in them."""
    makers: dict[str, Callable[[Diagnosis], str]] = {
        "ratings": _ratings,
        "lengths": _lengths,
        "newcomers": _newcomers,
        "contest": _contest,
        "drift": _drift,
        "concentration": _concentration,
        "days": _days,
        "hours": _hours,
    }
    with matplotlib.rc_context(SETTINGS):
        drawn = {name: make(found) for name, make in makers.items()}
    return {name: Markup(text) for name, text in drawn.items() if text}


def _axes(height: float = _SIZE[1]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_SIZE[0], height), layout="constrained")
    axes = figure.subplots()
    axes.set_axisbelow(True)
    return figure, axes


def _bars(name: str, labels: Sequence[str], heights: Sequence[float], title: str, unit: str, across: str) -> str:
    figure, axes = _axes()
    axes.bar(range(len(heights)), heights, color=ACCENT, width=0.75)
    axes.set_xticks(range(len(labels)), labels)
    axes.set_ylabel(unit)
    axes.set_xlabel(across)
    axes.grid(axis="y")
    axes.set_title(title)
    return svg(figure, f"diagnosis-{name}")


def _ratings(found: Diagnosis) -> str:
    ratings = found.feedback.ratings
    if ratings is None:
        return ""
    step = max(1, len(ratings.values) // 10)
    labels = [f"{value:g}" if i % step == 0 else "" for i, value in enumerate(ratings.values)]
    shares = 100 * np.array(ratings.counts) / sum(ratings.counts)
    return _bars("ratings", labels, list(shares), "Ratings", "% of ratings", "rating" + (" from" * ratings.binned))


def _lengths(found: Diagnosis) -> str:
    shares = found.histories.at_test
    if not shares:
        return ""
    names = [group_name(group) for group in GROUPS]
    title = "Past of the test window's queries"
    return _bars("lengths", names, [100 * share for share in shares], title, "% of queries", "events before the window")


def _newcomers(found: Diagnosis) -> str:
    windows = found.histories.windows
    if not windows:
        return ""
    figure, axes = _axes()
    for side, (name, label, colour) in enumerate(
        (("cold_queries", "by queries without a past", ACCENT), ("cold_items", "on items without a past", INK))
    ):
        place = np.arange(len(windows)) + 0.4 * side - 0.2
        axes.bar(place, [100 * getattr(window, name) for window in windows], 0.38, color=colour, label=label)
    axes.set_xticks(range(len(windows)), [window.name for window in windows])
    axes.set_ylabel("% of the window's events")
    axes.set_ylim(0, max(1.0, axes.get_ylim()[1] * 1.35))  # room for the legend
    axes.grid(axis="y")
    axes.legend(loc="upper left", ncols=1)
    axes.set_title("Newcomers")
    return svg(figure, "diagnosis-newcomers")


def _contest(found: Diagnosis) -> str:
    contest = found.contest
    if contest is None:
        return ""
    figure, axes = _axes(ROW * len(contest.contenders) + 0.9)
    for place, one in enumerate(contest.contenders):
        colour = {"hindsight": UNSURE, "window": ACCENT}.get(one.kind, INK)
        whisker(axes, place, one.measures[contest.metric], colour, "o")
    name_rows(axes, [one.name for one in contest.contenders])
    axes.set_xlabel(f"{metric_name(contest.metric)} with its 95% interval")
    axes.set_title("Popularity on the validation window")
    return svg(figure, "diagnosis-contest")


def _drift(found: Diagnosis) -> str:
    drift = found.popularity.drift
    if drift is None:
        return ""
    figure, axes = _axes()
    unit = _DAY if found.clock else 1
    axes.plot(
        [0, *(lag * drift.period / unit for lag in drift.lags)], [1, *drift.alike], "o-", color=ACCENT, markersize=3
    )
    axes.axhline(0.5, color=INK, linewidth=0.8, linestyle=":")
    axes.set_ylim(min(0, *drift.alike), 1.05)
    axes.set_xlabel("days apart" if found.clock else "order steps apart")
    axes.set_ylabel("alike (1 = unchanged)")
    axes.grid(axis="y")
    axes.set_title("Popularity of two periods")
    return svg(figure, "diagnosis-drift")


def _concentration(found: Diagnosis) -> str:
    curve = found.popularity.concentration.curve
    figure, axes = _axes()
    across = np.linspace(0, 100, len(curve))
    axes.plot(across, 100 * np.array(curve), color=ACCENT)
    axes.plot([0, 100], [0, 100], color=INK, linewidth=0.8, linestyle=":")
    axes.set_xlabel("% of the items, most popular first")
    axes.set_ylabel("% of the events")
    axes.grid()
    axes.set_title("Concentration (dotted: all items alike)")
    return svg(figure, "diagnosis-concentration")


def _days(found: Diagnosis) -> str:
    calendar = found.timing.calendar
    if calendar is None or len(calendar.days) < 2:
        return ""
    figure, axes = _axes()
    days = np.array(calendar.days, float)
    width = -(-len(days) // _BINS)
    starts = np.arange(0, len(days), width)
    mean = np.add.reduceat(days, starts) / np.diff(np.append(starts, len(days)))
    at = (calendar.first_day + starts).astype("datetime64[D]")
    axes.fill_between(at, mean, step="post", color=ACCENT, alpha=0.35, linewidth=0)
    axes.step(at, mean, where="post", color=ACCENT, linewidth=1)
    for window in found.histories.windows:
        axes.axvline(np.datetime64(window.start, "s"), color=INK, linewidth=0.8, linestyle=":")  # type: ignore[arg-type]
    locator = AutoDateLocator(minticks=3, maxticks=6)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.set_ylim(0)
    axes.set_ylabel("events a day")
    axes.grid(axis="y")
    axes.set_title("Activity" + (" (dotted: the cuts)" if found.histories.windows else ""))
    return svg(figure, "diagnosis-days")


def _hours(found: Diagnosis) -> str:
    calendar = found.timing.calendar
    if calendar is None or np.isnan(calendar.peak):
        return ""
    labels = [str(hour) if hour % 3 == 0 else "" for hour in range(24)]
    shares = 100 * np.array(calendar.hours) / sum(calendar.hours)
    return _bars("hours", labels, list(shares), "Hour of the day (UTC)", "% of events", "hour")

"""The data part of a report: what became of every row, where the cuts lie, and who could be judged at all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from pipelines.dataset import Dataset
from pipelines.evaluation.funnel import ABSENT, FILTERED, Stages, fates, held_out, taken_in_test, with_not_asked
from pipelines.split import Cut

_PURPOSES = {
    "train": "the towers learn",
    "validation": "towers, popularity and the searcher's settings are chosen; "
    "the ranker learns on what the towers retrieve",
    "ranker": "the ranker is chosen (by a fifth of the queries, if it has no window of its own)",
    "test": "everything is judged; nothing learns from it",
}


@dataclass(frozen=True)
class Account:
    """One raw table: rows in = kept + the sum of quarantined, which is by reason."""

    table: str
    rows: int
    kept: int
    quarantined: dict[str, int]


@dataclass(frozen=True)
class Window:
    """Events with start <= time < end, and what they are used for; dates (UTC) where the data has a clock."""

    name: str
    purpose: str
    start: int
    end: int
    events: int
    dates: tuple[str, str] | None


@dataclass(frozen=True)
class Judged:
    """Who is judged on the test window, and what could not be judged.

    The pairs are those of the funnel: held-out items of the requests, and of the other queries that come back
    (`returning` with the requests). wanted: those of them that are not filtered as taken already; unavailable: those
    that are absent from the catalogue at the cut, so that the rest are the requests' targets. new_queries: queries
    without a past that something is asked of, as newcomers. queries: all that the window has events of, of which
    `drawn` are judged; all other numbers are of these.
    """

    queries: int
    drawn: int
    requests: int
    returning: int
    wanted: int
    unavailable: int
    new_queries: int


@dataclass(frozen=True)
class DataPart:
    """Accounts by table; sizes of the prepared tables; windows and judged where the log can be split."""

    accounts: tuple[Account, ...]
    events: int
    items: int
    queries: int
    windows: tuple[Window, ...] = ()
    judged: Judged | None = None


def data_part(folder: Path, dataset: Dataset | None) -> DataPart:
    """Read the prepare stage's folder; `dataset` is None where its windows are too small to be judged."""
    found = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    accounts = tuple(
        Account(name, table["rows"], table["kept"], table["quarantined"]) for name, table in found["tables"].items()
    )
    sizes = found["events"], found["items"], found["queries"]
    if dataset is None:
        return DataPart(accounts, *sizes)
    return DataPart(accounts, *sizes, windows(dataset), judged(dataset))


def windows(dataset: Dataset) -> tuple[Window, ...]:
    """The four windows of the split; those that do not follow one another in time overlap."""
    cuts, clock = dataset.cuts, dataset.config.data.events.time is not None
    beginning = Cut(0, int(dataset.log.time[0]))
    spans = (beginning, cuts.validation), (cuts.validation, cuts.ranker), cuts.for_ranker, (cuts.test, cuts.end)
    found = []
    for (name, purpose), (start, end) in zip(_PURPOSES.items(), spans, strict=True):
        time = cuts.between(dataset.log, start, end).time
        first, last = (int(time[0]), int(time[-1])) if not cuts.by_time else (start.moment, end.moment - 1)
        dates = (_date(first), _date(last)) if clock else None
        found.append(Window(name, purpose, first, last + 1, len(time), dates))
    return tuple(found)


def judged(dataset: Dataset) -> Judged:
    """Count what the test window asks for, as the funnel does before any list is looked at."""
    asked, taken, eligible = dataset.test_requests, taken_in_test(dataset), dataset.eligible(dataset.cuts.test)
    held = held_out(dataset, asked, taken)
    nothing = np.empty((len(asked), 0), np.int32)
    fate = fates(held, asked, eligible, dataset.filter_seen, Stages(nothing, nothing, nothing, nothing), 0)
    _, fate = with_not_asked(held, fate, asked, taken, eligible)
    wanted, unavailable = int((fate != FILTERED).sum()), int((fate == ABSENT).sum())
    window = dataset.judged_window(dataset.cuts.test, dataset.cuts.end)
    queries = len(dataset.queries_within(dataset.cuts.test, dataset.cuts.end)), int((window.end > window.first).sum())
    return Judged(*queries, len(asked), len(taken), wanted, unavailable, len(dataset.newcomers))


def _date(moment: int) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%d %H:%M")

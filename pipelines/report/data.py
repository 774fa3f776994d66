"""The data part of a report: what became of every row, where the cuts lie, and who could be judged at all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from pipelines.dataset import Dataset
from pipelines.split import Cut

_PURPOSES = {
    "train": "the towers learn",
    "validation": "the towers, the popularity and the searcher's settings are chosen",
    "ranker": "the ranker learns on what the towers retrieve",
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

    wanted: pairs of a known query and an item that is new to it; unavailable: those of them whose item enters
    the catalogue after the cut; new_queries: queries without a past, of whom nothing is asked.
    """

    requests: int
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
    edges = (Cut(0, int(dataset.log.time[0])), cuts.validation, cuts.ranker, cuts.test, cuts.end)
    found = []
    for (name, purpose), start, end in zip(_PURPOSES.items(), edges[:-1], edges[1:], strict=True):
        time = cuts.between(dataset.log, start, end).time
        first, last = (int(time[0]), int(time[-1])) if not cuts.by_time else (start.moment, end.moment - 1)
        dates = (_date(first), _date(last)) if clock else None
        found.append(Window(name, purpose, first, last + 1, len(time), dates))
    return tuple(found)


def judged(dataset: Dataset) -> Judged:
    """Count what the test window asks for, in the same way as the requests are made."""
    cuts, items = dataset.cuts, np.int64(dataset.n_items)
    past, later = dataset.past(cuts.test), cuts.between(dataset.log, cuts.test, cuts.end)
    known = np.bincount(past.query, minlength=dataset.n_queries) > 0
    pairs = np.setdiff1d(later.query * items + later.item, past.query * items + past.item)
    pairs = pairs[known[pairs // items]]
    unavailable = ~dataset.eligible(cuts.test)[pairs % items]
    new = np.unique(later.query[~known[later.query]])
    return Judged(len(dataset.test_requests), len(pairs), int(unavailable.sum()), len(new))


def _date(moment: int) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%d %H:%M")

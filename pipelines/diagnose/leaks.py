"""Do feature columns give the future away? Five questions of the columns, and one of the catalogue.

1. Does it tell what comes after the test cut from what came before (`telltale`)? New things differ from old ones for
   honest reasons too, so this says where to look, not that something is wrong.
2. Does a number go with an item's events after the test cut when its past and recent events are held equal? One that
   was counted over the whole log does.
3. Does it hold dates that lie after the event that it describes?
4. Is it missing just for what is seen after the test cut only?
5. Does the context of an event tell which item is taken? A page or a price that is logged with the item does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.stats import norm, rankdata

from configs.features import Feature
from pipelines.dataset import Dataset
from pipelines.diagnose.observed import Observed
from pipelines.diagnose.telltale import Separation, separation
from pipelines.evaluation.bootstrap import Interval

FEWEST = 50  # items or queries below which a correlation is not looked at
FEWEST_LATE = 20  # and newcomers, for what they lack
SIDE = 0.9  # an AUC as high seldom comes from honest change
COUNTS, FUTURE = 0.5, 0.15  # what is counted over the whole log shows in both correlations
LATER = 0.01  # share of the rows dated after their event
LACKS = 0.5  # by how much more often newcomers lack a value
NAMES, FEWEST_NAMED = 0.5, 200  # share of the events whose item the context named before, and of how many

_ISO = r"\d{4}-\d{2}-\d{2}([T ].*)?"
_UNITS = (1, 10**3, 10**6, 10**9)
_EARLIEST, _LATEST = 315_532_800, 4_102_444_800  # 1980 and 2100, unix seconds: numbers in between look like times
_YEARS = (1900, 2100)
_READABLE = 0.95  # share of the values that have to look like dates


@dataclass(frozen=True)
class Dates:
    """reads: what the values look like; later: share of the rows whose value lies after the event (of an item or a
    query: after its first); rows: those that have a value and an event."""

    reads: str
    later: float
    rows: int


@dataclass(frozen=True)
class Missing:
    """Share of the rows without a value, among those first seen before the test cut and those first seen after."""

    early: float
    late: float
    late_rows: int


@dataclass(frozen=True)
class Column:
    """What was found of one feature; None where a question does not apply or there is too little to tell.

    side: after the test cut against before; with_time: rank correlation of a number with the event's time;
    with_counts: with the row's events in the whole log; future: partial rank correlation with its events after the
    test cut, past and recent ones held equal; names: of the events in the later half of the log whose context occurred
    in the earlier, the share whose item went with it most often there.
    """

    table: str
    name: str
    kind: str
    side: Separation | None = None
    with_time: float | None = None
    with_counts: float | None = None
    future: Interval | None = None
    dates: Dates | None = None
    missing: Missing | None = None
    names: float | None = None

    @property
    def names_item(self) -> bool:
        """Whether the context of an event tells which item is taken."""
        return self.names is not None and self.names >= NAMES

    @property
    def counts_future(self) -> bool:
        """Whether it goes with the number of events, and with those to come beyond those that were."""
        return self.future is not None and (self.with_counts or 0) >= COUNTS and self.future.low >= FUTURE

    @property
    def dated_later(self) -> bool:
        """Whether it holds dates after the event."""
        return self.dates is not None and self.dates.later >= LATER

    @property
    def lacks_late(self) -> bool:
        """Whether it is missing for newcomers and there for the others."""
        return self.missing is not None and self.missing.late - self.missing.early >= LACKS

    @property
    def tells_side(self) -> bool:
        """Whether it tells what comes after the test cut from what came before."""
        return self.side is not None and self.side.auc >= SIDE

    @property
    def suspicion(self) -> str:
        """Why the column may give the future away; "" where nothing points to it."""
        reasons = (
            (self.names_item, "it tells which item is taken"),
            (self.counts_future, "it counts events of the time that is judged"),
            (self.dated_later, "it holds dates after the event"),
            (self.lacks_late, "it is missing just for what is seen late"),
            (self.tells_side, "it tells the test window from the time before"),
        )
        return "; ".join(text for holds, text in reasons if holds)


@dataclass(frozen=True)
class Leaks:
    """columns: every feature but ids and the event's own time; before_available: share of the events on an item
    before its `available_from`, None where the config names none."""

    columns: tuple[Column, ...]
    before_available: float | None


def leaks(observed: Observed) -> Leaks:
    """Ask every question of every column; without cuts, only those that need none."""
    columns = [
        *(_context(observed, feature) for feature in observed.config.on("events") if _is_asked(feature)),
        *_static(observed, "queries", observed.tables.queries, observed.log.query),
        *_static(observed, "items", observed.tables.items, observed.log.item),
    ]
    return Leaks(tuple(columns), _before_available(observed))


def _is_asked(feature: Feature) -> bool:
    own_time = feature.kind == "time" and feature.column is None
    return feature.kind != "id" and not own_time


# --- columns of the events ------------------------------------------------------------------------------------


def _context(observed: Observed, feature: Feature) -> Column:
    log, column = observed.log, observed.log.context[feature.name]
    side = with_time = None
    if observed.dataset is not None and feature.kind != "time":
        late = log.time >= observed.dataset.cuts.test.moment
        side = separation(feature, column, late, observed.config.seed)
    if feature.kind == "number":
        with_time = _rank_correlation(column.astype(float), log.time)
    dates = _dates(observed, feature, column, log.time)
    names = None if feature.kind in ("time", "vector") else _names(column, log.item)
    return Column("events", feature.name, feature.kind, side, with_time, dates=dates, names=names)


def _names(column: np.ndarray, item: np.ndarray) -> float | None:
    """`Column.names` of a column [n] and the items [n] of the events, in the order of time."""
    value, half = pd.factorize(column.astype(str))[0], len(item) // 2
    counts = pd.DataFrame({"value": value[:half], "item": item[:half]}).value_counts(sort=True).reset_index()
    most = counts.drop_duplicates("value").set_index("value")["item"]
    expected = most.reindex(value[half:]).to_numpy()
    seen = ~np.isnan(expected.astype(float))
    if seen.sum() < FEWEST_NAMED or most.nunique() < 2:
        return None
    return float((expected[seen] == item[half:][seen]).mean())


# --- columns of items and queries -----------------------------------------------------------------------------


def _static(observed: Observed, table: str, frame: pd.DataFrame, row: np.ndarray) -> Iterator[Column]:
    """row: [n] which row of `frame` each event belongs to."""
    log, dataset = observed.log, observed.dataset
    first = np.full(len(frame), np.iinfo(np.int64).max)
    first[row[::-1]] = log.time[::-1]  # the log is by time: what is written last stays
    seen = first < np.iinfo(np.int64).max
    for feature in filter(_is_asked, observed.config.on(table)):
        column = frame[feature.name].to_numpy()
        found = Column(table, feature.name, feature.kind, dates=_dates(observed, feature, column[seen], first[seen]))
        if dataset is not None:
            late = first[seen] >= dataset.cuts.test.moment
            side = separation(feature, column[seen], late, observed.config.seed)
            found = replace(found, side=side, missing=_missing(feature, column[seen], late))
            if feature.kind == "number":
                numbers = column.astype(float)
                with_counts = _rank_correlation(numbers[seen], np.bincount(row, minlength=len(frame))[seen])
                found = replace(found, with_counts=with_counts, future=_future(dataset, numbers, row))
        yield found


def _future(dataset: Dataset, column: np.ndarray, row: np.ndarray) -> Interval | None:
    """Partial rank correlation of a number with the row's events after the test cut, over the rows with a past."""
    time, test, end = dataset.log.time, dataset.cuts.test.moment, dataset.cuts.end.moment
    recent = test - (end - test)
    counts = [
        np.bincount(row[(time >= low) & (time < high)], minlength=len(column))
        for low, high in ((test, end), (time[0], test), (recent, test))
    ]
    use = (counts[1] > 0) & np.isfinite(column)
    if use.sum() < FEWEST or len(np.unique(column[use])) < 2:
        return None
    value, future, past, lately = (rankdata(one[use]) / use.sum() for one in (column, *counts))
    held = np.stack([np.ones(len(past)), past, past**2, lately, lately**2, past * lately], axis=1)
    return _partial(value, future, held)


def _partial(x: np.ndarray, y: np.ndarray, held: np.ndarray) -> Interval | None:
    """Correlation of what `held` [n, c] leaves of x and y, with its interval (Fisher's z)."""
    fitted, *_ = np.linalg.lstsq(held, np.stack([x, y], axis=1), rcond=None)
    left = np.stack([x, y], axis=1) - held @ fitted
    scale = np.linalg.norm(left, axis=0)
    if (scale < 1e-9 * np.sqrt(len(x))).any():
        return None
    r = float(np.clip(left[:, 0] @ left[:, 1] / scale.prod(), -1, 1))
    half = norm.ppf(0.975) / np.sqrt(max(len(x) - held.shape[1] - 3, 1))
    z = np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12))
    return Interval(r, float(np.tanh(z - half)), float(np.tanh(z + half)), len(x))


def _rank_correlation(x: np.ndarray, y: np.ndarray) -> float | None:
    use = np.isfinite(x)
    if use.sum() < FEWEST or len(np.unique(x[use])) < 2 or len(np.unique(y[use])) < 2:
        return None
    return float(np.corrcoef(rankdata(x[use]), rankdata(y[use]))[0, 1])


def _missing(feature: Feature, column: np.ndarray, late: np.ndarray) -> Missing | None:
    """By what the prepare stage writes where there is no value."""
    if late.sum() < FEWEST_LATE or late.all():
        return None
    if feature.kind == "vector":
        lacks = np.abs(np.stack(list(column))).sum(axis=1) == 0
    elif feature.kind == "number":
        if feature.missing is None:
            return None
        lacks = pd.Series(column).eq(feature.missing).to_numpy()
    else:
        lacks = pd.Series(column).eq("").to_numpy()
    return Missing(float(lacks[~late].mean()), float(lacks[late].mean()), int(late.sum()))


# --- dates ----------------------------------------------------------------------------------------------------


def _dates(observed: Observed, feature: Feature, column: np.ndarray, event: np.ndarray) -> Dates | None:
    """Compare a column that reads as dates with the events' times [n]; None for anything else."""
    if not observed.clock or not len(column):
        return None
    if feature.kind == "time":
        return Dates("times", float((column > event).mean()), len(column))
    if feature.kind == "number":
        return _of_numbers(column.astype(float), event)
    return _of_text(column, event) if feature.kind in ("category", "text") else None


def _of_numbers(column: np.ndarray, event: np.ndarray) -> Dates | None:
    use = np.isfinite(column) & (column != 0)  # 0 stands for a missing time more often than for 1970
    value, event = column[use], event[use]
    if not len(value):
        return None
    for unit in _UNITS:
        if ((value / unit >= _EARLIEST) & (value / unit <= _LATEST)).mean() >= _READABLE:
            return Dates("times", float((value / unit > event).mean()), len(value))
    years = (value == np.floor(value)) & (value >= _YEARS[0]) & (value <= _YEARS[1])
    if years.mean() >= _READABLE:
        year = event.astype("datetime64[s]").astype("datetime64[Y]").astype(int) + 1970
        return Dates("years", float((value > year).mean()), len(value))
    return None


def _of_text(column: np.ndarray, event: np.ndarray) -> Dates | None:
    """ISO dates, with or without a time of day; the day is what is compared, as time zones are not known."""
    texts = pd.Series(column.astype(str))
    use = texts != ""
    distinct = pd.Series(texts[use].unique())
    if not len(distinct) or distinct.str.fullmatch(_ISO).mean() < _READABLE:
        return None
    read = pd.to_datetime(distinct.str[:10], format="%Y-%m-%d", errors="coerce")
    day = texts[use].map(dict(zip(distinct, (read - pd.Timestamp(0)).dt.days, strict=True))).to_numpy(float)
    known: np.ndarray = np.isfinite(day)
    if not known.any():
        return None
    happened = event[use.to_numpy()][known] // 86_400
    return Dates("dates", float((day[known] > happened).mean()), int(known.sum()))


def _before_available(observed: Observed) -> float | None:
    if observed.config.data.items.available_from is None:
        return None
    entry = observed.tables.items["available_from"].to_numpy(dtype=np.float64, na_value=-np.inf)
    return float((observed.log.time < entry[observed.log.item]).mean())

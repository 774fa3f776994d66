"""A prepared log under the protocol of one config: what every later stage starts from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from configs.data import FILTER
from configs.errors import ConfigError, DataError
from configs.schema import Config
from configs.units import duration
from pipelines.prepare import Prepared, load_prepared
from pipelines.requests import Rules, Window, requests_at, requests_of_newcomers, requests_within
from pipelines.sequences import Sequences
from pipelines.split import Cut, Cuts, cut_log
from pipelines.tables import Interactions, Requests
from pipelines.trend import Trend, available_times, trend_of


@dataclass(frozen=True)
class Dataset:
    """Tables, cuts, and the log grouped by query.

    available: [N] int64, when each item enters the catalogue; trend: how recent popularity is counted.
    """

    config: Config
    tables: Prepared
    cuts: Cuts
    available: np.ndarray
    trend: Trend

    @property
    def log(self) -> Interactions:
        """All events, by time."""
        return self.tables.interactions

    @property
    def n_items(self) -> int:
        """Size of the catalogue."""
        return len(self.tables.items)

    @property
    def n_queries(self) -> int:
        """Number of queries."""
        return len(self.tables.queries)

    @cached_property
    def sequences(self) -> Sequences:
        """All events, by query."""
        return Sequences.of(self.log, self.n_queries)

    def past(self, cut: Cut) -> Interactions:
        """Events that may be known at `cut`."""
        return self.cuts.past(self.log, cut)

    def window(self, cut: Cut, end: Cut) -> Window:
        """The events from `cut` to `end` behind the past of each query."""
        return Window.of(self.past(cut), self.cuts.between(self.log, cut, end), self.n_queries, cut.moment)

    def window_alone(self, cut: Cut, end: Cut) -> Window:
        """The same events with nothing in front of them: everyone as if new."""
        later = Sequences.of(self.cuts.between(self.log, cut, end), self.n_queries)
        return Window(later, later.starts[:-1], later.starts[1:], cut.moment)

    def judged_window(self, cut: Cut, end: Cut) -> Window:
        """The window of those queries alone that are judged: of those with a past, and of those without, at most
        `split.max_queries` each, drawn by lots that hold for all windows, seeds, and growing tables."""
        past, between, within = self.past(cut), self.cuts.between(self.log, cut, end), self.queries_within(cut, end)
        come_back = np.bincount(past.query, minlength=self.n_queries) > 0
        judged, most = np.zeros(self.n_queries, bool), self.config.split.max_queries
        for some in (within[come_back[within]], within[~come_back[within]]):
            judged[some[np.argsort(self._lots[some])[:most]]] = True
        between = between if judged[within].all() else between.take(np.flatnonzero(judged[between.query]))
        return Window.of(past, between, self.n_queries, cut.moment)

    def queries_within(self, cut: Cut, end: Cut) -> np.ndarray:
        """Queries with events from `cut` to `end`, whether they are judged or not."""
        return np.flatnonzero(np.bincount(self.cuts.between(self.log, cut, end).query, minlength=self.n_queries))

    @cached_property
    def _lots(self) -> np.ndarray:
        return pd.util.hash_array(self.tables.queries["query"].astype(str).to_numpy(object))

    def eligible(self, cut: Cut) -> np.ndarray:
        """Items that are in the catalogue at `cut`, [N] bool."""
        return self.available <= cut.moment

    def trend_at(self, cut: Cut) -> np.ndarray:
        """Trend columns of every item as of `cut`, [N, t]."""
        from pipelines.trend_counts import trend_at  # which needs TensorFlow, as a data set does not

        past, listed = self.past(cut), self.available
        if self.config.trend.undated == "new":
            untaken = np.bincount(past.item, minlength=self.n_items) == 0
            undated = self.tables.items["available_from"].isna().to_numpy()
            listed = np.where(untaken & undated, cut.moment, listed)
        return trend_at(self.trend, past, listed, cut.moment)

    @property
    def filter_seen(self) -> bool:
        """Whether what a query has taken is never recommended to it again."""
        return self.config.data.seen_items == "filter"

    @property
    def depths(self) -> tuple[int, ...]:
        """Every k at which lists are measured, ascending."""
        gate = self.config.gate
        return tuple(sorted({gate.list_k, gate.k, *(k for k in self.config.evaluation.depths if k < gate.k)}))

    def rules(self, cut: Cut) -> Rules:
        """What counts as a target of the requests that follow `cut`."""
        split = self.config.split
        horizon = duration(split.horizon) if split.horizon is not None else None
        return Rules(self.eligible(cut), self.filter_seen, split.targets, horizon)

    def requests(self, cut: Cut, end: Cut) -> Requests:
        """Who is judged on a window, asked as `split` says."""
        window, rules = self.judged_window(cut, end), self.rules(cut)
        if self.config.split.history == "rolling":
            return requests_within(window, rules, self.config.seed)
        return requests_at(window, rules)

    @cached_property
    def test_requests(self) -> Requests:
        """Requests of the test window; everything is judged on these."""
        return self.requests(self.cuts.test, self.cuts.end)

    @cached_property
    def validation_requests(self) -> Requests:
        """The same from the validation cut up to the ranker's window; choices are made on these."""
        return self.requests(self.cuts.validation, self.cuts.ranker)

    @cached_property
    def newcomers(self) -> Requests:
        """Requests of queries that the test window sees for the first time; no history, no baseline to beat but
        popularity."""
        return requests_of_newcomers(self.judged_window(self.cuts.test, self.cuts.end), self.rules(self.cuts.test))

    @cached_property
    def segment(self) -> np.ndarray | None:
        """Segment of each query as a code, [queries] with -1 for unknown; None where the config names none."""
        name = self.config.data.segment
        if name is None:
            return None
        values = self.tables.queries[name].astype(str).to_numpy()
        return np.where(values == "", -1, np.searchsorted(np.array(self.segments, object), values))

    @cached_property
    def segments(self) -> list[str]:
        """The value of each code of `segment`."""
        name = self.config.data.segment
        return sorted(set(self.tables.queries[name].astype(str)) - {""}) if name else []


def load_dataset(config: Config, folder: Path) -> Dataset:
    """Read the prepare stage's folder. Raises: DataError when a window or the catalogue is too small to judge."""
    tables = load_prepared(folder)
    log = tables.interactions
    if not len(log):
        raise DataError("data: no event was accepted; see quarantine.parquet in the prepare folder for the reasons")
    cuts = cut_log(config.split, log, config.seed, config.data.events.time is not None)
    available = available_times(
        tables.items["available_from"].to_numpy(dtype=np.float64, na_value=np.nan), log, len(tables.items)
    )
    dataset = Dataset(config, tables, cuts, available, trend_of(config, cuts.past(log, cuts.validation)))
    _check(dataset)
    return dataset


def _check(dataset: Dataset) -> None:
    refuse_idle_objectives(dataset)
    candidates, catalogue = dataset.config.index.candidates, int(dataset.eligible(dataset.cuts.validation).sum())
    if catalogue <= candidates:
        raise DataError(
            f"index.candidates: the catalogue holds {catalogue} items at the validation cut, expected more than "
            f"index.candidates = {candidates}; lower index.candidates and gate.k"
        )
    for name, requests in (("validation", dataset.validation_requests), ("test", dataset.test_requests)):
        if not len(requests):
            new = "something new" if dataset.filter_seen else "an item of the catalogue"
            raise DataError(
                f"split: the {name} window has no query with a past and {new} in it{_within(dataset)}; expected at "
                f"least one: {', or '.join(_ways_to_ask(dataset))}"
            )


def refuse_idle_objectives(dataset: Dataset) -> None:
    """Refuse what would do nothing to the towers on this data. Raises: ConfigError, DataError."""
    negatives = dataset.config.train.negatives
    for source in ("popular", "hard", "memory"):
        if getattr(negatives, source) and negatives.covers(dataset.n_items):
            raise ConfigError(
                f"train.negatives.{source} = {getattr(negatives, source)} has nothing to add where all items are "
                f"compared: {dataset.n_items} items, whole_catalogue_below = {negatives.whole_catalogue_below}; lower "
                f"that, or set {source} = 0"
            )
    if dataset.config.train.loss == "gbce" and negatives.covers(dataset.n_items):
        raise ConfigError(
            f'train.loss = "gbce" makes up for items that are not drawn, and none is drawn where all are compared: '
            f"{dataset.n_items} items, train.negatives.whole_catalogue_below = {negatives.whole_catalogue_below}; "
            f'lower that, or set train.loss = "softmax"'
        )
    value = dataset.past(dataset.cuts.validation).value if dataset.config.train.weighted else None
    if value is not None and not (value > 0).any():
        raise DataError(
            "data.events.value: no event before the validation cut is worth more than 0; expected some, or "
            "train.weighted = false"
        )


def _within(dataset: Dataset) -> str:
    horizon = dataset.config.split.horizon
    return "" if horizon is None else f" within split.horizon = {horizon!r}"


def _ways_to_ask(dataset: Dataset) -> Iterator[str]:
    """What a person can change so that requests are left."""
    if dataset.config.split.horizon is not None:
        yield "raise split.horizon"
    if dataset.filter_seen:
        yield 'set data.seen_items = "keep" where people take the same again'
    yield "move split.validation, split.ranker or split.test"
    if dataset.config.split.history == "cut":
        yield 'set split.history = "rolling" for sessions'


def filters_of(dataset: Dataset) -> dict[str, np.ndarray]:
    """The values of the catalogue by filter, [N] texts by row."""
    items = dataset.tables.items
    return {name: items[FILTER + name].astype(str).to_numpy(object) for name in dataset.config.data.items.filters}

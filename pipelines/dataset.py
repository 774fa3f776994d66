"""A prepared log under the protocol of one config: what every later stage starts from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from configs.errors import DataError
from configs.schema import Config
from pipelines.prepare import Prepared, load_prepared
from pipelines.sequences import Sequences, requests_at, requests_within
from pipelines.split import Cuts, cut_moments
from pipelines.tables import Interactions, Requests
from pipelines.trend import Trend, available_times, trend_of


@dataclass(frozen=True)
class Dataset:
    """Tables, cut moments, and the log grouped by query.

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

    def before(self, moment: int) -> Sequences:
        """Events before `moment`, by query."""
        return Sequences.of(self.log.before(moment), self.n_queries)

    def eligible(self, moment: int) -> np.ndarray:
        """Items that are in the catalogue at `moment`, [N] bool."""
        return self.available <= moment

    @cached_property
    def test_requests(self) -> Requests:
        """Who is judged: the queries of the test window, asked as `split.requests` says."""
        return self._requests(self.cuts.test, self.cuts.end)

    @cached_property
    def validation_requests(self) -> Requests:
        """The same from the validation cut up to the ranker's window; choices are made on these."""
        return self._requests(self.cuts.validation, self.cuts.ranker)

    def _requests(self, cut: int, end: int) -> Requests:
        if self.config.split.requests == "rolling":
            return requests_within(self.sequences, cut, end, self.eligible(cut), self.config.seed)
        return requests_at(self.sequences, cut, end, self.eligible(cut))

    @cached_property
    def segment(self) -> np.ndarray | None:
        """Segment of each query as a code, [queries] with -1 for unknown; None where the config names none."""
        name = self.config.data.segment
        if name is None:
            return None
        values = self.tables.queries[name].astype(str).to_numpy()
        known = np.unique(values[values != ""])
        return np.where(values == "", -1, np.searchsorted(known, values))


def load_dataset(config: Config, folder: Path) -> Dataset:
    """Read the prepare stage's folder. Raises: DataError when a window or the catalogue is too small to judge."""
    tables = load_prepared(folder)
    log = tables.interactions
    if not len(log):
        raise DataError("data: no event was accepted; see quarantine.parquet in the prepare folder for the reasons")
    cuts = cut_moments(config.split, log)
    available = available_times(
        tables.items["available_from"].to_numpy(dtype=np.float64, na_value=np.nan), log, len(tables.items)
    )
    dataset = Dataset(config, tables, cuts, available, trend_of(config, log.before(cuts.validation)))
    _check(dataset)
    return dataset


def _check(dataset: Dataset) -> None:
    candidates, catalogue = dataset.config.index.candidates, int(dataset.eligible(dataset.cuts.validation).sum())
    if catalogue <= candidates:
        raise DataError(
            f"index.candidates: the catalogue holds {catalogue} items at the validation cut, expected more than "
            f"index.candidates = {candidates}; lower index.candidates and gate.k"
        )
    for name, requests in (("validation", dataset.validation_requests), ("test", dataset.test_requests)):
        if not len(requests):
            raise DataError(
                f"split: the {name} window has no query with a past and something new in it; expected at least one: "
                f'move split.validation, split.ranker or split.test, or set split.requests = "rolling" for sessions'
            )

"""What is diagnosed: the prepared tables, cut by time whatever protocol the config judges by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from configs.errors import DataError
from configs.schema import Config
from pipelines.dataset import Dataset
from pipelines.prepare import Account, Prepared, load_prepared
from pipelines.split import cut_log
from pipelines.tables import Interactions
from pipelines.trend import available_times, trend_of


@dataclass(frozen=True)
class Observed:
    """N items and the log of their events; accounts: what became of the rows of each raw table.

    dataset: the tables cut at the moments of the config, None where the log is too small for that, with the reason
    in `problem`.
    """

    config: Config
    tables: Prepared
    accounts: Mapping[str, Account]
    dataset: Dataset | None
    problem: str = ""

    @classmethod
    def of(cls, config: Config, tables: Prepared, accounts: Mapping[str, Account] | None = None) -> Observed:
        """Cut the log if it can be cut. Raises: DataError when there is no event at all."""
        if not len(tables.interactions):
            raise DataError("data: no event was accepted; see quarantine.parquet in the prepare folder for the reasons")
        try:
            return cls(config, tables, accounts or {}, _by_time(config, tables))
        except DataError as error:
            return cls(config, tables, accounts or {}, None, str(error))

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
        """Number of queries with events."""
        return len(self.tables.queries)

    @property
    def clock(self) -> bool:
        """Whether times are unix seconds; else they are order numbers."""
        return self.config.data.events.time is not None

    @property
    def span(self) -> int:
        """From the first event to the last, on the events' time axis."""
        return int(self.log.time[-1] - self.log.time[0])


def observe(config: Config, folder: Path) -> Observed:
    """Read the prepare stage's folder. Raises: DataError when it holds no event."""
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    accounts = {name: Account(**account) for name, account in summary["tables"].items()}
    return Observed.of(config, load_prepared(folder), accounts)


def _by_time(config: Config, tables: Prepared) -> Dataset:
    split = config.split.model_copy(update={"protocol": "global_time"})
    config = config.model_copy(update={"split": split})
    log = tables.interactions
    cuts = cut_log(split, log, clock=config.data.events.time is not None)
    entered = tables.items["available_from"].to_numpy(dtype=np.float64, na_value=np.nan)
    available = available_times(entered, log, len(tables.items))
    return Dataset(config, tables, cuts, available, trend_of(config, cuts.past(log, cuts.validation)))

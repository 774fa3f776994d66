"""What serving knows of each query as of the end of the log: features and whole history."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from configs.schema import Config
from pipelines.feature_columns import columns_of
from pipelines.prepare import Prepared
from pipelines.sequences import Sequences
from serving.state import QueryState


def query_states(config: Config, tables: Prepared) -> Iterator[tuple[str, QueryState]]:
    """Every query of the prepared tables with its state, in order of the ids."""
    queries, ids = tables.queries, tables.items["item"].astype(str).to_numpy(object)
    sequences = Sequences.of(tables.interactions, len(queries))
    columns = {name: _plain(column) for name, column in columns_of(queries, config.on("queries")).items()}
    for row, query in enumerate(queries["query"].astype(str)):
        part = slice(sequences.starts[row], sequences.starts[row + 1])
        features = {name: column[row] for name, column in columns.items()}
        yield query, QueryState(features, ids[sequences.item[part]].tolist(), sequences.time[part].tolist())


def _plain(column: np.ndarray) -> list:
    """Python's own values."""
    return column.tolist()

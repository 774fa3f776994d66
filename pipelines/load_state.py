"""Loading a store in bulk: the histories and features of a run's prepared tables, without a new model."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from configs.schema import Config
from pipelines.prepare import load_prepared
from pipelines.query_states import query_states
from serving.store import open_store


@dataclass(frozen=True)
class LoadedState:
    """How many queries were loaded, and the moment at which their data ends, on the events' time axis."""

    queries: int
    until: int


def load_state(config: Config, prepared: Path, store: str) -> LoadedState:
    """Put the prepare stage's queries in place of what was loaded into the store at that address before; events that
    were posted to it and are not in the data stay.

    Raises: StoreError, StoreDown.
    """
    tables = load_prepared(prepared)
    until = int(tables.interactions.time[-1])

    async def load() -> int:
        opened = await open_store(store)
        try:
            return await opened.load(query_states(config, tables), until)
        finally:
            await opened.close()

    return LoadedState(asyncio.run(load()), until)

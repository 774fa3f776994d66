"""The simulated world as a source: as many events as the config asks for, drawn anew from its seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa

from configs.schema import Config
from pipelines.simulate import WorldSize, build_world
from pipelines.sources.base import RawTables

EVENTS_PER_USER = 28
EVENTS_PER_ITEM = 56


def world_size(config: Config) -> WorldSize:
    """The world of a config: users and items grow with the events, so that a small one is not a sparse one."""
    events = config.data.simulated_events
    return WorldSize(
        users=max(300, events // EVENTS_PER_USER),
        items=max(400, events // EVENTS_PER_ITEM),
        events=events,
        seed=config.seed,
    )


def paths(config: Config) -> list[Path]:
    """No files: the config and its seed say everything."""
    return []


def read(config: Config, backend: Any) -> RawTables:
    """events(user_id, item_id, time, device, event), items(item_id, title, category, price, release_time),
    users(user_id, age_band, region, signup_time)."""
    world = build_world(world_size(config))
    frames = {"events": world.events(), "items": world.items, "queries": world.users}
    tables = {
        name: backend.create_table(
            ibis.util.gen_name(name),
            ibis.memtable(pa.Table.from_pandas(frame, preserve_index=False)),
            temp=True,
        )
        for name, frame in frames.items()
    }
    origins = {name: f"the simulated {name}" for name in tables}
    return RawTables(tables["events"], tables["items"], tables["queries"] if config.data.queries else None, origins)

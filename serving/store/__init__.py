"""What is known of queries beyond what a published version carries: a store behind one interface, by its address."""

from __future__ import annotations

from pathlib import Path

from serving.store.base import KEEP, READ, WRITE, Event, Loaded, Store, Stored, StoreDown, StoreError, merge

__all__ = ["KEEP", "Event", "Loaded", "Store", "StoreDown", "StoreError", "Stored", "merge", "open_store"]

_REDIS = ("redis://", "rediss://", "unix://")


async def open_store(
    url: str, keep: int = KEEP, read: float = READ, write: float = WRITE, patient: bool = False
) -> Store:
    """The store at "sqlite:PATH", or a plain path, or "redis://HOST:PORT/NUMBER".

    keep: events of each query that are kept; read, write: seconds that each may take before the store counts as down;
    patient: whether a file that is damaged, or no store, opens all the same. It stays as it is, and the store is
    `StoreDown` until a good file, or none, stands in its place.

    A server that is not there opens all the same, and is `StoreDown` until it is. Raises: StoreError.
    """
    if url.startswith(_REDIS):
        from serving.store.redis import RedisStore

        return await RedisStore.open(url, keep, read, write)
    from serving.store.sqlite import SQLiteStore

    path = url.removeprefix("sqlite:")
    if not path or "://" in path:
        raise StoreError(f"store: found {url!r}, expected a path, sqlite:PATH or redis://HOST:PORT/NUMBER")
    return SQLiteStore(Path(path), keep, read, write, patient)

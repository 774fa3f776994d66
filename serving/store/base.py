"""What every store offers: what happened since a version's data ended, shared by all versions and servers.

A published version carries its own state (`serving.state`), which ends where its data ends and is never written to. A
store holds the rest: events that were posted, features that were set, and states that were loaded in bulk from a later
run. `merge` lays the two over each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from configs.errors import UserError
from serving.state import QueryState
from serving.store.values import check_text

KEEP = 1000  # events of one query that a store holds by default
READ, WRITE = 0.05, 0.5  # seconds that a store may take: a list waits for the one, nobody looks at the other
_INT64 = 2**63


class StoreDown(RuntimeError):
    """The store is not there, or too slow. An event that was being added may have been stored: add it again."""


class StoreError(UserError):
    """A store cannot be opened or loaded: it is damaged, of another kind or version, or ahead of what is loaded."""


class StoreUnusable(StoreError):
    """What is there is no store, not a whole one, or one of another version."""


@dataclass(frozen=True)
class Event:
    """A query took an item at a moment on the events' time axis. The store reads these three; the log reads the rest.

    context: event features by name.
    """

    query: str
    item: str
    time: int
    kind: str = ""
    value: float | None = None
    rating: float | None = None
    context: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, text in (("query", self.query), ("item", self.item)):
            if not text:
                raise ValueError(f"{name}: found '', expected an id")
            check_text(name, text)
        if not -_INT64 <= self.time < _INT64:
            raise ValueError(f"time: found {self.time}, expected an int64")


@dataclass(frozen=True)
class Loaded:
    """A query's state as a run knew it whose data ends at `until`, on the events' time axis."""

    state: QueryState
    until: int


@dataclass(frozen=True)
class Stored:
    """What a store knows of one query.

    events: (item, time) of what was posted, oldest first, and as it came within a moment; features: those that were
    set, by name; loaded: its state as of a later run than the version's.
    """

    events: Sequence[tuple[str, int]] = ()
    features: Mapping[str, Any] = field(default_factory=dict)
    loaded: Loaded | None = None


class Store(Protocol):
    """Used from one event loop, which it never holds up. What is not there or too slow is `StoreDown`, at once and
    without a try while it is known to be down."""

    async def get(self, query: str) -> Stored | None:
        """What is known of a query; None for an unknown one. Raises: StoreDown, ValueError where it is no text."""

    async def add(self, events: Sequence[Event]) -> int:
        """Store events; to how many of them were new, by query, item and time. The latest to come are kept of each
        query, as many as the store was opened for. Raises: StoreDown."""

    async def put(self, query: str, features: Mapping[str, Any]) -> None:
        """Set features of a query, JSON values by name; others stay as they are, and None takes back what was set.

        Raises: StoreDown, ValueError.
        """

    async def load(self, rows: Iterable[tuple[str, QueryState]], until: int) -> int:
        """Put (query, state) of data that ends at `until` in place of all that was loaded before; to their number.

        Events that are in a loaded history are dropped, the others stay. Goes through in parts, each of them whole:
        who is stopped loads again. Raises: StoreDown, StoreError where what is there ends later.
        """

    async def search(self, prefix: str, most: int) -> list[str]:
        """At most so many ids of queries that begin with `prefix`, in order of their UTF-8 bytes. Raises: StoreDown."""

    async def prune(self, before: int, seconds: float = 0) -> int:
        """Drop events of moments before `before` that came at least so many seconds ago; to their number. Goes through
        in parts, as `load` does. Raises: StoreDown."""

    async def ping(self) -> None:
        """Raises: StoreDown where the store could not answer now."""

    async def close(self) -> None:
        """Give everything back; what was acknowledged stays stored."""


def merge(base: QueryState | None, stored: Stored | None, until: int | None = None) -> QueryState | None:
    """What is known of a query in all; None where nothing is.

    base: from the version that answers, whose data ends at `until` (by default before what was loaded). What base
    holds stays as it is; of what the store holds those are added that are not in it, by item and time, in order of
    time and behind what base has at the same moment. Features that were set win, then those of the later data.
    """
    if stored is None:
        return base
    states = [state for state in (base, stored.loaded.state if stored.loaded else None) if state is not None]
    pairs: list[tuple[str, int]] = []
    for later in (*(zip(state.history, state.history_time, strict=True) for state in states), stored.events):
        pairs += _new(pairs, later)
    pairs.sort(key=lambda pair: pair[1])
    if base is not None and stored.loaded is not None and until is not None and until > stored.loaded.until:
        states.reverse()
    features = {name: value for state in states for name, value in state.features.items()} | dict(stored.features)
    return QueryState(features, [item for item, _ in pairs], [time for _, time in pairs])


def _new(known: Sequence[tuple[str, int]], later: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Those of `later` that are not known. What one source says twice stays twice: it may have been of two kinds."""
    there = set(known)
    return [pair for pair in later if pair not in there]

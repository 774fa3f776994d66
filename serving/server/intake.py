"""What users did: checked, logged for the next run to train on, and stored for the next list."""

from __future__ import annotations

from collections.abc import Set

from serving.inputs import RequestError
from serving.server.api import EventsAnswer, EventsRequest, NewEvent
from serving.server.clock import Clock
from serving.server.journal import Journal
from serving.server.metrics import Metrics
from serving.server.users import Users
from serving.server.version import Version
from serving.store.base import Event


class Intake:
    """Takes events in."""

    def __init__(self, journal: Journal, users: Users, clock: Clock, metrics: Metrics) -> None:
        self._journal, self._users, self._clock, self._metrics = journal, users, clock, metrics

    async def add(self, request: EventsRequest, version: Version | None) -> EventsAnswer:
        """Take events in, as the version names their features; without one, as the log does; before the first one,
        whatever they are called.

        Raises: RequestError where one cannot be used, and then none is taken; NotServed where the time of one that says
        none is not known without a version.
        """
        now = self._clock.now(version) if any(one.time is None for one in request.events) else 0
        config = version.bundle.config if version else self._journal.config
        known = {feature.name for feature in config.on("events")} if config else None
        events = [_event(number, one, now, known) for number, one in enumerate(request.events)]
        try:
            self._journal.add(events)
        except ValueError as error:
            raise RequestError(f"events: {error}") from None
        stored = await self._users.add(events)
        self._metrics.events.inc(len(events))
        return EventsAnswer(accepted=len(events), stored=stored)


def _event(number: int, said: NewEvent, now: int, known: Set[str] | None) -> Event:
    """known: names of features, None where nobody knows them. Raises: RequestError."""
    if known is not None and (unknown := sorted(set(said.context) - known)):
        raise RequestError(f"events.{number}.context: unknown feature {unknown[0]!r}; expected one of {sorted(known)}")
    try:
        moment = now if said.time is None else said.time
        return Event(said.user, said.item, moment, said.kind or "", said.value, said.rating, said.context)
    except ValueError as error:
        raise RequestError(f"events.{number}.{error}") from None

"""Drops stored events that the versions know from their own data by now, so that a store does not grow for ever."""

from __future__ import annotations

import asyncio
import logging

from configs.serving import Serving
from configs.units import duration
from serving.server.users import Users
from serving.server.versions import Versions

_EVERY = 3600.0  # seconds between two looks: one reads all events that are stored
_log = logging.getLogger("twinspire.pruning")


class Pruning:
    """Looks now and then, while `run` is awaited."""

    def __init__(self, versions: Versions, users: Users, settings: Serving) -> None:
        self._versions, self._users = versions, users
        self._keep, self._poll = duration(settings.keep), settings.poll

    async def run(self) -> None:
        """Look for as long as this is awaited."""
        while True:
            try:
                found = await self._look()
            except Exception:  # the next look may be luckier
                _log.exception("pruning failed")
                found = True
            await asyncio.sleep(min(_EVERY, self._keep) if found else self._poll)

    async def _look(self) -> bool:
        """Prune, as far as the data of every version that is loaded reaches; whether there is one."""
        ends = [int(version.manifest["data"]["end"]) for version in self._versions.loaded]
        if ends:
            await self._users.prune(min(ends), self._keep)
        return bool(ends)

"""The moment of a request that names none, on the events' time axis of the version that answers."""

from __future__ import annotations

import time
from typing import Literal

from serving.server.version import Version


class Clock:
    """ "wall": seconds since 1970; "data": the end of the version's data. Events that have an order and no clock always
    take the end of the data."""

    def __init__(self, kind: Literal["wall", "data"]) -> None:
        self._kind = kind

    def now(self, version: Version) -> int:
        """The moment."""
        if self._kind == "wall" and version.bundle.config.data.events.time is not None:
            return int(time.time())
        return int(version.manifest["data"]["end"])

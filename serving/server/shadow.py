"""Asks the shadow version what others are asked, one request at a time, and compares the lists. Nobody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from configs.errors import UserError
from serving.server.metrics import Metrics
from serving.server.recommend import MODEL, POPULARITY, Asked, inputs_of, recommend
from serving.server.version import Version

_SECONDS = 5.0


class Shadow:
    """Counts how much of a list the shadow version lists too."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._asking: asyncio.Task[None] | None = None

    def ask(self, version: Version | None, asked: Asked, shown: Sequence[str]) -> None:
        """Ask it too, where there is one that is not busy."""
        if version is None:
            return
        if self._asking is not None and not self._asking.done():
            self._metrics.shadow.labels("skipped").inc()
            return
        self._asking = asyncio.ensure_future(self._compare(version, asked, shown))

    async def _compare(self, version: Version, asked: Asked, shown: Sequence[str]) -> None:
        try:
            with version.in_use():
                answer = await recommend(version, asked, inputs_of(version, asked), _SECONDS, None)
        except UserError:
            self._metrics.shadow.labels("refused").inc()
            return
        if answer.source not in (MODEL, POPULARITY):
            self._metrics.shadow.labels("failed").inc()
            return
        listed = {one.item for one in answer.items}
        self._metrics.shadow.labels("answered").inc()
        if shown:
            self._metrics.shadow_overlap.observe(len(listed.intersection(shown)) / len(shown))

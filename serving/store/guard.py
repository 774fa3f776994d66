"""What stands between callers and a store that may be slow or gone: a limit of time, and a pause after a failure."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from serving.store.base import StoreDown

PAUSE = 0.5  # seconds without a try after a failure
_SLOW = 3  # calls in a row that took too long are a failure: one may be the machine's

T = TypeVar("T")


class Guard:
    """Calls that fail, or take longer than `seconds`, are `StoreDown`. For `pause` seconds after one that failed, or
    several in a row that took too long, every call is, at once; then one is let through to see, while others still are.
    """

    def __init__(self, what: str, seconds: float, failures: tuple[type[Exception], ...], pause: float = PAUSE) -> None:
        self._what, self._seconds, self._failures, self._pause = what, seconds, failures, pause
        self._reason, self._until = "", 0.0  # the last failure, "" while all is well; and when to try again
        self._slow = 0  # calls in a row

    async def call(self, work: Callable[[], Awaitable[T]]) -> T:
        """The answer of `work`. Raises: StoreDown, and what `work` raises that is no failure of the store."""
        if self._reason:
            if time.monotonic() < self._until:
                raise StoreDown(self._reason)
            self._until = time.monotonic() + self._pause + self._seconds  # this call sees for all
        try:
            answer = await asyncio.wait_for(work(), self._seconds)
        except asyncio.TimeoutError:
            self._slow += 1
            raise self._down(f"no answer within {self._seconds * 1000:.0f} ms", self._slow >= _SLOW) from None
        except self._failures as error:
            raise self._down(str(error) or type(error).__name__, True) from error
        self._reason, self._slow = "", 0
        return answer

    def _down(self, reason: str, pause: bool) -> StoreDown:
        reason = f"store: {self._what}: {reason}"
        if pause:
            self._reason, self._until = reason, time.monotonic() + self._pause
        return StoreDown(reason)

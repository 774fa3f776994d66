"""A store that fails or hangs costs its callers little, and is found again."""

from __future__ import annotations

import asyncio
import time

import pytest

from serving.store.base import StoreDown
from serving.store.guard import Guard


class Place:
    """Something that answers, fails or hangs, and counts who came."""

    def __init__(self) -> None:
        self.asked, self.broken, self.slow = 0, False, False

    async def ask(self) -> str:
        self.asked += 1
        if self.slow:
            await asyncio.sleep(10)
        if self.broken:
            raise OSError("it broke")
        return "fine"


def guarded(place: Place, seconds: float = 0.05, pause: float = 0.2) -> Guard:
    return Guard("it", seconds, (OSError,), pause)


async def refused(guard: Guard, place: Place) -> str:
    with pytest.raises(StoreDown) as caught:
        await guard.call(place.ask)
    return str(caught.value)


def test_after_a_failure_nobody_comes_for_a_while_and_then_one_does():
    async def story() -> None:
        place = Place()
        guard = guarded(place)
        assert await guard.call(place.ask) == "fine"
        place.broken = True
        assert "it broke" in await refused(guard, place)
        for _ in range(100):
            await refused(guard, place)
        assert place.asked == 2
        await asyncio.sleep(0.25)
        await asyncio.gather(*(refused(guard, place) for _ in range(100)))
        assert place.asked == 3
        place.broken = False
        await asyncio.sleep(0.25)
        assert await guard.call(place.ask) == "fine"
        assert await guard.call(place.ask) == "fine"

    asyncio.run(story())


def test_one_slow_answer_is_down_and_several_are_a_failure():
    async def story() -> None:
        place = Place()
        guard = guarded(place)
        place.slow = True
        began = time.monotonic()
        assert "no answer within 50 ms" in await refused(guard, place)
        assert time.monotonic() - began < 1
        place.slow = False
        assert await guard.call(place.ask) == "fine"  # at once
        place.slow = True
        for _ in range(3):
            await refused(guard, place)
        asked = place.asked
        place.slow = False
        assert "no answer" in await refused(guard, place)
        assert place.asked == asked
        await asyncio.sleep(0.25)
        assert await guard.call(place.ask) == "fine"

    asyncio.run(story())


def test_who_gives_up_while_it_looks_leaves_the_looking_to_others():
    async def story() -> None:
        place = Place()
        guard = guarded(place)
        place.broken = True
        await refused(guard, place)
        place.broken, place.slow = False, True
        await asyncio.sleep(0.25)
        looking = asyncio.create_task(guard.call(place.ask))
        await asyncio.sleep(0.01)
        looking.cancel()
        place.slow = False
        await asyncio.sleep(0.3)
        assert await guard.call(place.ask) == "fine"

    asyncio.run(story())


def test_other_errors_are_the_callers_own():
    async def wrong() -> None:
        raise ValueError("mine")

    async def story() -> None:
        place = Place()
        guard = guarded(place)
        with pytest.raises(ValueError, match="mine"):
            await guard.call(wrong)
        assert await guard.call(place.ask) == "fine"

    asyncio.run(story())

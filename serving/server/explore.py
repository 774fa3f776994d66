"""Places of a list that chance fills, with how likely each item was to stand there: what off-policy estimates need.

The last places are drawn uniformly, without replacement, from the candidates that would stand there and right after, so
each of these is as likely in each drawn place; the places before stay as they are.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

from configs.serving import Explore

T = TypeVar("T")


def extra(explore: Explore | None) -> int:
    """How many more candidates than places it takes."""
    return explore.pool - explore.slots if explore else 0


def explored(
    candidates: Sequence[T], k: int, explore: Explore | None, rng: random.Random
) -> tuple[list[T], list[float] | None]:
    """At most k of the candidates, best first, and the likelihood of each in its place; None where chance had no say.

    As many candidates as places, or fewer places than are to be drawn, leave nothing to draw.
    """
    if explore is None or len(candidates) <= k or k <= explore.slots:
        return list(candidates[:k]), None
    kept = k - explore.slots
    pool = candidates[kept : kept + explore.pool]
    drawn = rng.sample(pool, explore.slots)
    return [*candidates[:kept], *drawn], [1.0] * kept + [1 / len(pool)] * explore.slots

"""Recall against speed: what is to be had at a recall, what is outdone by another, and how time grows with size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np


@dataclass(frozen=True)
class Point:
    """What a setting was measured at: mean recall, and queries a second."""

    recall: float
    speed: float


P = TypeVar("P", bound=Point)


def frontier(points: Iterable[P]) -> list[P]:
    """Those that no other is as good as in both and better in one, by rising recall; of equals the first."""
    kept: list[P] = []
    for point in sorted(points, key=lambda point: (-point.recall, -point.speed)):
        if not kept or point.speed > kept[-1].speed:
            kept.append(point)
    return kept[::-1]


def fastest(points: Iterable[P], recall: float) -> P | None:
    """The quickest that was measured at this recall or above; nothing is interpolated."""
    return max((point for point in points if point.recall >= recall), key=lambda point: point.speed, default=None)


def dominated(own: Iterable[P], others: Sequence[Point], slack: float) -> list[P]:
    """Those of `own` that another of at least their recall outruns: they have less than 1 - slack of its speed."""
    return [
        point for point in own if (best := fastest(others, point.recall)) and point.speed < (1 - slack) * best.speed
    ]


def exponent(sizes: Sequence[float], spent: Sequence[float]) -> float:
    """The e of spent = c * size^e that fits best by least squares of logarithms; from two sizes on."""
    return float(np.polyfit(np.log(sizes), np.log(spent), 1)[0])

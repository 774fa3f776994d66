"""Onboarding: what a new user says they like, "feature=value", read as one item of a history that is like such items.

Any value of a category or multi_category feature of items can be liked. Towers read histories of items, so a value is
read as an item half-way between its most popular ones, which says less of a direction than any of them. Read as all of
these, it would say that somebody takes nothing else. Popularity lists items with that value first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

REPRESENTATIVES = 5  # items whose mean a liked value is read as
_SHOWN = 20  # names in a message


@dataclass(frozen=True)
class Likes:
    """What can be liked of a catalogue of N items.

    names [V]: "feature=value"; of_items [N, m]: the places in `names` of what can be liked of each item, int32, -1
    where an item has fewer than m.
    """

    names: Sequence[str]
    of_items: np.ndarray

    def representatives(self, popular: np.ndarray, count: int = REPRESENTATIVES) -> np.ndarray:
        """The `count` first items with each name among `popular` [P], rows from most to least popular.

        To rows [V, count] int32, the most popular last; -1 in front where there are fewer.
        """
        found = np.full((len(self.names), count), -1, np.int32)
        liked = self.of_items[popular]
        place, column = np.nonzero(liked >= 0)  # by popularity
        name = liked[place, column]
        order = np.argsort(name, kind="stable")
        name, row = name[order], popular[place[order]]
        rank = np.arange(len(name)) - np.searchsorted(name, name)
        found[name[rank < count], count - 1 - rank[rank < count]] = row[rank < count]
        return found


def choices(text: str, names: Sequence[str]) -> str:
    """What could have been said instead of `text`, which is none of `names`."""
    features = sorted({name.partition("=")[0] for name in names})
    feature = text.partition("=")[0]
    if feature not in features or "=" not in text:
        return f"an item's id, or FEATURE=VALUE with FEATURE one of {', '.join(features) or '(there are none)'}"
    values = [name for name in names if name.partition("=")[0] == feature]
    more = f" and {len(values) - _SHOWN:,} more" if len(values) > _SHOWN else ""
    return f"one of {', '.join(values[:_SHOWN])}{more}"

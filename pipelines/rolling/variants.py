"""What may be refreshed before a step, and what a choice of it is called."""

from __future__ import annotations

HISTORIES, INDEX, COUNTS, TOWERS = "histories", "index", "counts", "towers"
Refreshed = tuple[str, ...]
"""The parts that are refreshed before each step; the rest stays as of the test cut.

histories: what is read of a query and, where seen items are filtered, what is known to be seen; index: the items that
may be recommended, and their trends; counts: the same of a popularity; towers: their weights, every so many steps.
"""


def describe(refreshed: Refreshed) -> str:
    """The refreshed parts in words."""
    return " + ".join(refreshed) or "nothing"

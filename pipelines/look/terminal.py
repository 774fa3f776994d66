"""What text in the terminal has in common."""

from __future__ import annotations

from rich.table import Table

WIDTH = 100
"""Columns that any output keeps to."""


def table(first: str) -> Table:
    """A table without lines, whose first column is `first`."""
    found = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    found.add_column(first, no_wrap=True)
    return found


def clean(text: str) -> str:
    """Without control characters: names come from data, and a terminal obeys those."""
    return "".join(letter if letter.isprintable() else " " for letter in text)

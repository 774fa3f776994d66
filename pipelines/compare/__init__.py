"""Several runs side by side: what got better, what got worse, and what was changed."""

from __future__ import annotations

from pathlib import Path

from pipelines.compare.comparison import Comparison, compare
from pipelines.compare.page import page
from pipelines.compare.text import print_comparison
from pipelines.files import write_whole

__all__ = ["Comparison", "compare", "page", "print_comparison", "write_comparison"]


def write_comparison(found: Comparison, path: Path) -> Path:
    """Write the page; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, page(found))
    return path

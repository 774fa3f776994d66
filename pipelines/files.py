"""Writing and removing whole: a reader sees the old or the new, never half of either."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def remove_whole(folder: Path) -> None:
    """Rename, then remove, so that who is stopped in between leaves nothing half there; a missing one is fine."""
    going = folder.with_name(f".{folder.name}.removed")
    shutil.rmtree(going, ignore_errors=True)
    if folder.is_dir():
        folder.rename(going)
        shutil.rmtree(going)


def write_whole(path: Path, text: str) -> None:
    """Write to a temporary name beside `path`, then rename."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)

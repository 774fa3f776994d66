"""Writing and removing whole: a reader sees the old or the new, never half of either."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def remove_whole(folder: Path) -> None:
    """Rename, then remove, so that who is stopped in between leaves nothing half there; a missing one is fine."""
    going = _beside(folder, "removed")
    shutil.rmtree(going, ignore_errors=True)
    if folder.is_dir():
        folder.rename(going)
        shutil.rmtree(going)


@contextmanager
def replaced_whole(folder: Path) -> Iterator[Path]:
    """An empty folder to fill, which is `folder` when the block is over; where it raises, the old one stays.

    Two folders cannot change places at once: who is stopped just between two renames leaves
    none under the name, and `put_back` brings the old one back.
    """
    put_back(folder)
    coming, old = _beside(folder, "coming"), _beside(folder, "old")
    coming.mkdir(parents=True)
    try:
        yield coming
        if folder.is_dir():
            folder.rename(old)
        coming.rename(folder)
    except Exception:
        put_back(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def put_back(folder: Path) -> None:
    """Undo what a replacement left that was interrupted: the old one, where there is one, is under the name again."""
    old = _beside(folder, "old")
    if old.is_dir() and not folder.is_dir():
        old.rename(folder)
    for left in (old, _beside(folder, "coming")):
        shutil.rmtree(left, ignore_errors=True)


def write_whole(path: Path, text: str) -> None:
    """Write to a temporary name beside `path`, then rename."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _beside(folder: Path, what: str) -> Path:
    return folder.with_name(f".{folder.name}.{what}")

"""Exports of the tiny recommender, each written once in a test run, whichever worker asks first."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from tests.serving import small


def exported(searcher: str, factory: pytest.TempPathFactory) -> Path:
    """The bundle of `small.build(searcher)`. Not to be changed; `small.copy` makes one that may be."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "exports" / searcher
    folder.parent.mkdir(exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # let go of when the file is closed
        if not folder.exists():
            small.export(small.build(searcher), folder.with_suffix(".partial")).rename(folder)
    return folder

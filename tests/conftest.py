"""Fixtures that several test folders share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder that holds ml-1m/ and ml-100k/: $TWINSPIRE_DATA, else shared/data beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("TWINSPIRE_DATA") or beside)
    if not (folder / "ml-1m").is_dir() or not (folder / "ml-100k").is_dir():
        pytest.skip(f"needs ml-1m/ and ml-100k/ in {folder}; set TWINSPIRE_DATA to the folder that holds them")
    return folder

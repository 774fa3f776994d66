"""Fixtures that several test folders share."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.runs import SMALL, Called, settings, twinspire


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With pytest-xdist a file stays on one worker, and all files that look at the demo on the same: it is run once.

    Files with slow tests come first, and the demo's first of all, so that no worker ends with a long one alone.
    """
    demo = {item.path for item in items if "demo" in getattr(item, "fixturenames", ())}
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    for item in items:
        item.add_marker(pytest.mark.xdist_group("demo" if item.path in demo else str(item.path)))
    items.sort(key=lambda item: (item.path not in demo, item.path not in slow))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder that holds ml-1m/ and ml-100k/: $TWINSPIRE_DATA, else shared/data beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("TWINSPIRE_DATA") or beside)
    if not (folder / "ml-1m").is_dir() or not (folder / "ml-100k").is_dir():
        pytest.skip(f"needs ml-1m/ and ml-100k/ in {folder}; set TWINSPIRE_DATA to the folder that holds them")
    return folder


@dataclass(frozen=True)
class Demo:
    """A finished small demo: where it ran, what it printed, and its folders."""

    home: Path
    called: Called
    run: Path
    bundle: Path


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """`twinspire demo` on a small world, run once a session as a person would."""
    home = tmp_path_factory.mktemp("demo")
    called = twinspire("demo", *settings(*SMALL), cwd=home, check=True)
    (run,) = (path for path in (home / "runs").iterdir() if path.name.startswith("demo-"))
    return Demo(home, called, run, home / "bundles" / "demo" / "1")

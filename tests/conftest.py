"""Fixtures that several test folders share."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.cores import share_cores
from tests.redis_server import RedisServer, skip_without_redis
from tests.runs import SMALL, Called, settings, twinspire

share_cores(os.environ)


def pytest_configure() -> None:
    """A shell that starts tests in the background has them ignore Ctrl-C, and so would everything that they start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that look at the demo come first, and then slow ones, so that no worker ends with a long one alone."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (not _looks_at_demo(item.path), item.path not in slow))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file stays on one worker, and all files that look at the demo on the same: it is run once.

    Marks of groups would say that too, but pytest-xdist 3.8 loses them under pytest 9.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::")[0]
            return "demo" if _looks_at_demo(Path(config.rootpath) / file) else file

    return ByFile(config, log)


@cache
def _looks_at_demo(file: Path) -> bool:
    return re.search(r"def .*\bdemo\b", file.read_text()) is not None


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder that holds ml-1m/ and ml-100k/: $TWINSPIRE_DATA, else shared/data beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("TWINSPIRE_DATA") or beside)
    if not (folder / "ml-1m").is_dir() or not (folder / "ml-100k").is_dir():
        pytest.skip(f"needs ml-1m/ and ml-100k/ in {folder}; set TWINSPIRE_DATA to the folder that holds them")
    return folder


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis for all tests of a session; whoever uses it empties it first."""
    skip_without_redis()
    server = RedisServer()
    server.start()
    yield server
    server.remove()


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

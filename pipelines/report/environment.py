"""What a run was made with: versions, the machine, and when."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = (
    "tensorflow",
    "tf-keras",
    "tensorflow-recommenders",
    "scann",
    "numpy",
    "scipy",
    "pandas",
    "scikit-learn",
    "implicit",
    "lightfm-next",
    "scikit-surprise",
    "ibis-framework",
    "duckdb",
)
_MADE = "made-from.json"  # the last that a stage writes


@dataclass(frozen=True)
class Environment:
    """packages: installed versions by name; processor: its model and how many; made: when the first and the last of
    the run's stages were finished (UTC), None where nothing tells."""

    python: str
    system: str
    processor: str
    packages: dict[str, str]
    made: tuple[str, str] | None


def environment(results: Mapping[str, Path]) -> Environment:
    """The environment of this process, and the dates of the stages' results."""
    return Environment(
        platform.python_version(),
        f"{platform.system()} {platform.release()} {platform.machine()}",
        f"{os.cpu_count()} x {_processor()}",
        {name: found for name in _PACKAGES if (found := _version(name)) is not None},
        _made(results),
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def _made(results: Mapping[str, Path]) -> tuple[str, str] | None:
    times = [(path / _MADE).stat().st_mtime for path in results.values() if (path / _MADE).is_file()]
    if not times:
        return None
    first, last = (datetime.fromtimestamp(moment, timezone.utc) for moment in (min(times), max(times)))
    return first.strftime("%Y-%m-%d %H:%M"), last.strftime("%Y-%m-%d %H:%M")

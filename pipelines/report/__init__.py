"""The report at the end of a run: what is good, what is bad, and what to do next."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from configs.schema import Config
from pipelines.files import write_whole
from pipelines.report.page import write_page
from pipelines.report.summary import Summary, summarise
from pipelines.report.text import print_summary

__all__ = ["Summary", "print_summary", "report", "summarise", "write_page", "write_summary"]


def report(config: Config, results: Mapping[str, Path], out: Path) -> Path:
    """Write `report.html` and `summary.json` into `out`, from the folders of the stages that have run, by name.

    Returns the page's path.
    """
    summary = summarise(config, results)
    out.mkdir(parents=True, exist_ok=True)
    write_summary(summary, out / "summary.json")
    write_page(summary, out / "report.html")
    return out / "report.html"


def write_summary(summary: Summary, path: Path) -> None:
    """Write the summary as JSON; numbers that JSON lacks (NaN, infinite) become null."""
    write_whole(path, json.dumps(_plain(asdict(summary)), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

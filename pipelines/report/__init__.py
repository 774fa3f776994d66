"""The report at the end of a run: what is good, what is bad, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from markupsafe import Markup

from configs.schema import Config
from pipelines.files import write_whole
from pipelines.look.plain import as_json
from pipelines.report.board import write_board
from pipelines.report.page import write_page
from pipelines.report.summary import Summary, summarise
from pipelines.report.text import print_summary

__all__ = ["Summary", "print_summary", "report", "summarise", "write_page"]


def report(config: Config, results: Mapping[str, Path], out: Path) -> Path:
    """Write `report.html`, `summary.json` and TensorBoard's events into `out`.

    results: the folders of the stages that have run, by name. Returns the page's path.
    """
    summary = summarise(config, results)
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "summary.json", as_json(summary))
    write_page(summary, out / "report.html", _diagnosis(config, results))
    write_board(summary, out / "tensorboard")
    return out / "report.html"


def _diagnosis(config: Config, results: Mapping[str, Path]) -> Markup | None:
    """The data's diagnosis as a part of the page; None before there is data."""
    from pipelines.diagnose import diagnose, observe
    from pipelines.diagnose.page import fragment

    return fragment(diagnose(observe(config, results["prepare"]))) if "prepare" in results else None

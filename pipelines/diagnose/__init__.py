"""Diagnose before modelling: what the data is, whether it is sound, and which design it argues for."""

from __future__ import annotations

from pathlib import Path

from pipelines.diagnose.diagnosis import Diagnosis, diagnose
from pipelines.diagnose.observed import Observed, observe
from pipelines.diagnose.page import fragment, page
from pipelines.diagnose.plots import plots
from pipelines.diagnose.text import print_diagnosis
from pipelines.files import write_whole
from pipelines.look.plain import as_json

__all__ = [
    "Diagnosis",
    "Observed",
    "diagnose",
    "fragment",
    "observe",
    "page",
    "plots",
    "print_diagnosis",
    "write_diagnosis",
]


def write_diagnosis(found: Diagnosis, out: Path, following: str) -> Path:
    """Write `diagnosis.html` and `diagnosis.json` into `out`; `following` is the command to go on with.

    Returns the page's path.
    """
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "diagnosis.json", as_json(found))
    write_whole(out / "diagnosis.html", page(found, following))
    return out / "diagnosis.html"

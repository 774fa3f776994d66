"""The summary as one HTML file that needs nothing else: no scripts, no network."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from markupsafe import Markup

from pipelines.diagnose.words import length
from pipelines.evaluation.funnel import FATES
from pipelines.evaluation.sliced import by_chance
from pipelines.files import write_whole
from pipelines.index.words import tuning_words
from pipelines.look.template import environment
from pipelines.report import wording
from pipelines.report.decision import Word
from pipelines.report.experiment import ASSUMPTIONS
from pipelines.report.figures import figures
from pipelines.report.funnel_words import funnel_line
from pipelines.report.panels import panels, rows
from pipelines.report.summary import Summary
from pipelines.report.variety import HEADLINE, NAMES
from pipelines.rolling.words import sentences

_TONES: dict[Word, str] = {"ready for an A/B test": "good", "not ready": "bad"}
_SECTIONS = {
    "summary": "Summary",
    "decision": "Decision",
    "leaderboard": "Leaderboard",
    "slices": "Slices",
    "funnel": "Funnel",
    "gates": "Gates",
    "scores": "Scores",
    "staleness": "Staleness",
    "examples": "Examples",
    "cautions": "Keep in mind",
    "baselines": "Baselines",
    "model": "Model",
    "data": "Data",
    "diagnosis": "Diagnosis",
    "reproduce": "Reproduce",
}
_GATES = {
    "candidates": "Candidates: what the towers retrieve",
    "list": "List: what is shown in the end",
    "replay": "Replay: what the exported model answers",
}


def write_page(summary: Summary, path: Path, diagnosis: Markup | None = None) -> None:
    """Write the page, whole or not at all."""
    write_whole(path, page(summary, diagnosis))


def page(summary: Summary, diagnosis: Markup | None = None) -> str:
    """The page's HTML. Everything that comes from data is escaped; only plots and the data's diagnosis are markup."""
    templates = environment("pipelines.report")
    for name in ("metric_name", "verdict_value", "verdict_bounds", "verdict_floor"):
        templates.filters[name] = getattr(wording, name)
    templates.filters["tuning_words"] = tuning_words
    templates.globals["setting"] = partial(_setting, summary)
    return templates.get_template("page.html").render(
        s=summary,
        sections=list(_SECTIONS),
        titles={name: title for name, title in _SECTIONS.items() if name != "summary"},
        tone=_TONES.get(summary.decision.verdict, "unsure"),
        assumptions=ASSUMPTIONS,
        headline_changes=HEADLINE,
        quality_names=NAMES,
        gates=[(gate, _GATES.get(gate, gate), summary.of_gate(gate)) for gate in summary.gates],
        plots=figures(summary),
        diagnosis=diagnosis,
        config=json.dumps(summary.config, indent=2, ensure_ascii=False),
        staleness=sentences(summary.rolling) if summary.rolling is not None else [],
        **_evaluated(summary),
    )


def _setting(summary: Summary, name: str, value: Any) -> str:
    """A setting of a baseline; those that are lengths of time in the data's own unit."""
    if name in ("window", "half_life"):
        return length(value, summary.config["data"]["events"]["time"] is not None)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _evaluated(summary: Summary) -> dict[str, Any]:
    """What the sections of the evaluate stage show; nothing before it has run."""
    found = summary.evaluated
    if found is None:
        return {"funnel_line": None}
    funnels, shown = found.funnels, rows(found.slices)
    return {
        "slice_rows": shown,
        "worse_by_chance": by_chance(shown),
        "slice_panels": {
            title: [(panel.name, panel.label) for panel in group] for title, group in panels(found.slices).items()
        },
        "fates": FATES,
        "funnel_line": funnel_line(funnels),
        "funnel_rows": [*funnels.rows, *([funnels.newcomers] if funnels.newcomers is not None else [])],
    }

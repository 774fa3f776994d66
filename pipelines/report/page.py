"""The summary as one HTML file that needs nothing else: no scripts, no network."""

from __future__ import annotations

import json
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from pipelines.files import write_whole
from pipelines.report import wording
from pipelines.report.decision import Outcome
from pipelines.report.plots import contenders_plot, curves_plot, lifts_plot
from pipelines.report.summary import Summary

_TONES: dict[Outcome, str] = {"win": "good", "popularity wins": "bad", "baseline wins": "bad", "gate failed": "bad"}
_GATES = {
    "candidates": "Candidates: what the towers retrieve",
    "list": "List: what is shown in the end",
}


def write_page(summary: Summary, path: Path) -> None:
    """Write the page, whole or not at all."""
    write_whole(path, page(summary))


def page(summary: Summary) -> str:
    """The page's HTML. Everything that comes from data is escaped; only the plots are markup."""
    environment = Environment(
        loader=PackageLoader("pipelines.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = with_code
    for name in ("number", "signed", "percent", "signed_percent", "bounds", "change", "metric_name"):
        environment.filters[name] = getattr(wording, name)
    for name in ("verdict_value", "verdict_bounds", "verdict_floor"):
        environment.filters[name] = getattr(wording, name)
    return environment.get_template("page.html").render(
        s=summary,
        decision=summary.decision,
        tone=_TONES.get(summary.decision.outcome, "unsure"),
        gates=[(gate, _GATES.get(gate, gate), summary.by_metric(gate)) for gate in summary.gates],
        plots=_plots(summary),
        config=json.dumps(summary.config, indent=2, ensure_ascii=False),
    )


def with_code(text: str) -> Markup:
    """Text whose `parts in backticks` are set as code; everything is escaped."""
    parts = [
        Markup("<code>{}</code>").format(part) if i % 2 else escape(part) for i, part in enumerate(text.split("`"))
    ]
    return Markup("").join(parts)


def _plots(summary: Summary) -> dict[str, Markup]:
    """Inline SVG by place; matplotlib has escaped the names in it."""
    found = {}
    if summary.contenders is not None:
        found["contenders"] = contenders_plot(summary.contenders)
    for place, gate in enumerate(summary.gates):
        lifts = [verdict for verdict in summary.of_gate(gate) if wording.is_lift(verdict)]
        found[f"gate {gate}"] = lifts_plot(lifts, f"gate{place}") if len(lifts) > 1 else ""
    if summary.training is not None:
        found["curves"] = curves_plot(summary.training.curves, summary.training.best_epoch)
    return {name: Markup(svg) for name, svg in found.items() if svg}

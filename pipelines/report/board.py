"""What the report puts into TensorBoard: the decision and the funnel, in words and as pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from matplotlib.figure import Figure

from pipelines.board import write_report_board
from pipelines.evaluation.funnel import FATES, Funnels
from pipelines.report.decision import Decision
from pipelines.report.plots.funnel import ceilings_figure, funnel_figure
from pipelines.report.plots.standings import standings_figure
from pipelines.report.summary import Summary


def write_board(summary: Summary, folder: Path) -> None:
    """Write an event file into `folder` in place of the one before; what has not run yet is left out."""
    texts = {"decision/verdict": decision_text(summary.decision)}
    if summary.evaluated is not None:
        texts["funnel/by slice"] = funnel_text(summary.evaluated.funnels)
    write_report_board(folder, texts, dict(_pictures(summary)))


def decision_text(decision: Decision) -> str:
    """The decision as markdown."""
    lines = [f"# {decision.verdict}", decision.headline]
    against = [reason.text for reason in decision.reasons]
    for title, points in (("Against", against), ("Good", decision.good), ("Bad", decision.bad)):
        lines += [f"## {title}", *(f"- {point}" for point in points)] if points else []
    lines += ["## Next", *(f"- {step}" for step in decision.next_steps), f"*{decision.caveat}*"]
    return "\n\n".join(lines).replace("\n\n- ", "\n- ")


def funnel_text(found: Funnels) -> str:
    """Held-out items by slice and fate, as a markdown table."""
    lines = ["| slice | held out | " + " | ".join(FATES) + " |", "|---" * (len(FATES) + 2) + "|"]
    rows = ((one.slice.replace("|", " "), one.total, *one.counts) for one in found.rows)
    lines += [f"| {' | '.join(map(str, row))} |" for row in rows]
    return "\n".join(lines)


def _pictures(summary: Summary) -> Iterator[tuple[str, Figure]]:
    if summary.board is not None:
        for metric in summary.board.metrics:
            figure = standings_figure(summary.board, metric)
            if figure is not None:
                yield f"decision/{metric}", figure
    if summary.evaluated is not None:
        funnels = summary.evaluated.funnels
        yield "funnel/left after each stage", funnel_figure(funnels.rows[0], funnels.k, funnels.list_k)
        yield "funnel/ceilings", ceilings_figure(summary.evaluated.ceilings)

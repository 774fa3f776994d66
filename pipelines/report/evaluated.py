"""What the evaluate stage left: slices, the funnel and its ceilings, spreads of scores, examples, variety."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipelines.evaluation.ceilings import Ceilings, load_ceilings
from pipelines.evaluation.examples import Examples, load_examples
from pipelines.evaluation.funnel import Funnels, load_funnels
from pipelines.evaluation.leaderboard import load_leaderboard
from pipelines.evaluation.sampled import Sampled, load_sampled
from pipelines.evaluation.scores import ScoreSpreads, load_spreads
from pipelines.evaluation.sliced import SliceResults, load_slices
from pipelines.report.variety import Change, changes, qualities


@dataclass(frozen=True)
class Evaluated:
    """changes: how varied the final lists are, against what they would replace; qualities: how varied each contender's
    lists are, by contender and measure; sampled: None where nothing was sampled."""

    slices: SliceResults
    funnels: Funnels
    ceilings: Ceilings
    spreads: ScoreSpreads
    examples: Examples
    changes: tuple[Change, ...]
    qualities: dict[str, dict[str, float]]
    sampled: Sampled | None


def evaluated_part(folder: Path) -> Evaluated:
    """Read the evaluate stage's folder."""
    board = load_leaderboard(folder)
    return Evaluated(
        load_slices(folder),
        load_funnels(folder),
        load_ceilings(folder),
        load_spreads(folder),
        load_examples(folder),
        changes(board),
        {name: qualities(board, name) for name in board.contenders},
        load_sampled(folder),
    )

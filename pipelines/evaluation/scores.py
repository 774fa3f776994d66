"""How scores are spread: those of the targets beside those of the other candidates.

Scores order the candidates of one request and promise nothing else: they are not calibrated, and the spread over all
requests also shows how far apart requests lie. How well targets are told from others is the AUC within a request.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from pipelines.evaluation.bootstrap import Interval, intervals
from pipelines.evaluation.compared import samples_for
from pipelines.evaluation.metrics import hits
from pipelines.evaluation.stored import load, save
from pipelines.tables import Candidates, Ragged

_BINS = 40
_FILE = "scores.json"


@dataclass(frozen=True)
class ScoreSpread:
    """Scores of one model for retrieved candidates.

    edges: of the bins, ascending, one more than there are bins; targets, others: how many candidates of each kind
    fall into each; auc: mean over requests of the chance that a target scores above another candidate (a tie counts
    one half), over the n requests that hold both.
    """

    model: str
    edges: tuple[float, ...]
    targets: tuple[int, ...]
    others: tuple[int, ...]
    auc: Interval


@dataclass(frozen=True)
class ScoreSpreads:
    """One for each model; requests: how many requests they are of."""

    requests: int
    models: tuple[ScoreSpread, ...]


def spread(model: str, candidates: Candidates, targets: Ragged) -> ScoreSpread:
    """Histograms of all scores in bins of equal width, and the AUC; an item of -1 has none."""
    hit = hits(candidates, targets, candidates.items.shape[1])
    there = candidates.items >= 0
    scores = candidates.scores[there].astype(np.float64)
    edges = np.linspace(scores.min(initial=np.inf), scores.max(initial=-np.inf), _BINS + 1) if len(scores) else None
    if edges is None or edges[0] == edges[-1]:
        centre = scores[0] if len(scores) else 0.0
        edges = np.linspace(centre - 0.5, centre + 0.5, _BINS + 1)
    counts = [np.histogram(candidates.scores[there & kind], edges)[0] for kind in (hit, ~hit)]
    of_targets, of_others = (tuple(map(int, count)) for count in counts)
    auc = auc_by_request(candidates.scores, hit & there, ~hit & there)
    told = auc[~np.isnan(auc)]
    found = intervals(told[None], samples=samples_for(len(told)))[0]
    return ScoreSpread(model, tuple(map(float, edges)), of_targets, of_others, found)


def save_spreads(found: ScoreSpreads, folder: Path) -> None:
    """Write scores.json."""
    save(found, folder / _FILE)


def load_spreads(folder: Path) -> ScoreSpreads:
    """Read what `save_spreads` wrote."""
    return load(ScoreSpreads, folder / _FILE)


def auc_by_request(scores: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """Share of (positive, negative) pairs of each request in which the positive scores higher, a tie counting one
    half (Mann and Whitney, 1947), [R]; NaN without both. All arguments are [R, K], the masks disjoint."""
    # what is in neither ranks above all, where it changes no other rank
    ranks = rankdata(np.where(positive | negative, scores, np.inf), axis=1)
    p, n = positive.sum(axis=1), negative.sum(axis=1)
    above = np.where(positive, ranks, 0).sum(axis=1) - p * (p + 1) / 2
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN that is promised
        return above / (p * n)

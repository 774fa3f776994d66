"""How fast what is searched must grow with what is asked for, so that filters cost no recall: found by measuring.

A filter that leaves a tenth makes a search ask for ten times as much. How many more leaves hold that depends on the
vectors: within a cluster few more, beyond it nearly as many times more, or all.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipelines.candidates import search
from pipelines.index.filtered import UnderFilters
from pipelines.index.overlap import overlap_by_row
from pipelines.index.truth import best_rows
from serving.searchers import Searcher
from serving.searchers.base import GROWTH

KEPT = 0.005  # recall that filters may cost
# with the last a search for a tenth is dearer than to score what is left
_GROWTHS = (GROWTH, 0.8, 1.0, 1.25, 1.5, 1.75, 2.0)
_SHARES = (0.5, 0.3, 0.1, 0.03)  # of the items, which filters leave; where they leave less, those are scored exactly
_QUERIES = 200


def fit_growth(searcher: Searcher, vectors: np.ndarray, queries: np.ndarray, k: int) -> None:
    """Set the least growth of the searcher's effort with which filters that leave items at random cost at most `KEPT`
    of its recall at k, or else the largest. Nothing for a searcher without leaves.

    vectors [N, D] as the searcher has them; queries [Q, D] or [Q, m, D].
    """
    if searcher.effort is None or not searcher.effort.leaves or not len(queries):
        return
    queries = queries[:_QUERIES]
    plain = overlap_by_row(search(searcher, queries, k)[1], best_rows(queries, vectors, k)).mean()
    drawn = np.random.default_rng(0).random(len(vectors))
    filters = {f"{share:g}": np.where(drawn < share, "left", "") for share in _SHARES}
    under = UnderFilters(searcher, vectors, filters, queries, k)
    for growth in _GROWTHS:
        searcher.effort = replace(searcher.effort, growth=growth)
        if min(one.recall for one in under.recall()) >= plain - KEPT:
            return

"""Newcomers: queries without a past, answered by the towers, the ranker, and the chosen popularity.

They are judged apart: with no history there is nothing personal to go by but what they say of themselves, and the
mean over all requests would hide them.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.baselines.popularity import Popularity, SegmentPopularity
from pipelines.candidates import retrieve
from pipelines.dataset import Dataset
from pipelines.evaluation.funnel import Stages
from pipelines.evaluation.ranking import rank
from pipelines.evaluation.results import Results
from pipelines.index.item_index import ItemIndex
from pipelines.lists import Lists, RankScorer, ranked, reranked
from pipelines.tables import Requests
from pipelines.vectors import Vectors

_MOST = 2_000


@dataclass(frozen=True)
class Newcomers:
    """Their requests (at most 2,000 of them, drawn by the seed) and what each contender answered."""

    requests: Requests
    results: dict[str, Results]

    @property
    def stages(self) -> Stages:
        """What each stage left for them."""
        return stages_of(self.results)


def answer_newcomers(
    dataset: Dataset,
    vectors: Vectors,
    index: ItemIndex,
    scorer: RankScorer,
    popularity: Popularity | SegmentPopularity,
) -> Newcomers | None:
    """Answer as the judged stages answer everybody else; None where the test window has no newcomers."""
    requests, cut, config = dataset.newcomers, dataset.cuts.test, dataset.config
    if not len(requests):
        return None
    requests = requests.drawn(_MOST, config.seed)
    k, eligible, filter_seen = config.index.candidates, dataset.eligible(cut), dataset.filter_seen
    found = retrieve(index.searcher, index.rows, vectors.of(requests), requests, k, filter_seen)
    in_order = ranked(found, scorer.score(Lists(requests, found, index.trend)))
    final = reranked(config, in_order, index.static[:, : config.towers.embedding_dim], config.gate.list_k)
    popularity.fit(dataset.past(cut), dataset.n_queries, dataset.n_items, cut.moment)
    lists = {
        popularity.name: rank(popularity.scores, requests, k, eligible, filter_seen),
        "towers": found,
        "towers, exact search": rank(vectors.score, requests, k, eligible, filter_seen),
        "towers + ranker": in_order,
        "final list": final,
    }
    targets, depths = requests.targets, dataset.depths
    return Newcomers(requests, {name: Results.of(one, targets, *depths) for name, one in lists.items()})


def stages_of(results: dict[str, Results]) -> Stages:
    """What each stage left, by the names that the gate and the rank stage give their results."""
    names = ("towers, exact search", "towers", "towers + ranker", "final list")
    return Stages(*(results[name].items for name in names))

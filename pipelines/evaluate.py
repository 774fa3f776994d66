"""The evaluate stage: what a person needs to judge a model on the test requests, beyond what the gates decide.

What the earlier stages retrieved and ranked is read, not made anew; only newcomers, whom they leave out, are answered
here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from configs.schema import Config
from pipelines.baselines.popularity import Popularity, SegmentPopularity
from pipelines.baselines.stage import chosen_popularity, popularities
from pipelines.dataset import Dataset, load_dataset
from pipelines.evaluation.ceilings import ceilings, save_ceilings
from pipelines.evaluation.compared import strongest, strongest_popularity
from pipelines.evaluation.examples import examples, save_examples
from pipelines.evaluation.facts import item_facts
from pipelines.evaluation.funnel import (
    FATES,
    SHOWN,
    Funnel,
    Funnels,
    fates,
    funnel,
    funnels,
    held_out,
    save_funnels,
    taken_by_newcomers,
    taken_in_test,
    with_not_asked,
)
from pipelines.evaluation.leaderboard import leaderboard, save_leaderboard
from pipelines.evaluation.ranking import Scorer
from pipelines.evaluation.results import Results, load_results
from pipelines.evaluation.sampled import sampled, save_sampled
from pipelines.evaluation.scores import ScoreSpreads, save_spreads, spread
from pipelines.evaluation.sliced import (
    Rivals,
    SliceResult,
    SliceResults,
    digest_of,
    judge_slices,
    regressions,
    save_slices,
)
from pipelines.evaluation.slices import Slice, slices_of_items, slices_of_requests
from pipelines.index.item_index import ItemIndex, load_index
from pipelines.lists import Lists, RankScorer
from pipelines.newcomers import Newcomers, answer_newcomers, stages_of
from pipelines.progress import Progress
from pipelines.rank import load_ranker
from pipelines.stage import Inputs
from pipelines.tables import Candidates, Ragged, Requests
from pipelines.train import REFITTED, load_towers
from towers.backend import tf

_MOST_SPREAD = 1_000  # requests whose scores are shown


def evaluate(config: Config, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Write the leaderboard, the slices, the funnel with its ceilings, how scores spread, and a few examples."""
    dataset = load_dataset(config, inputs["prepare"])
    judged = _Judged.of(dataset, inputs)
    vectors = load_towers(dataset, inputs["train"], REFITTED, dataset.cuts.test)
    scorer = load_ranker(dataset, vectors.encoded, inputs["rank"])
    newcomers = answer_newcomers(dataset, vectors, judged.index, scorer, judged.popularity)
    taken = taken_in_test(dataset)
    slices = [*slices_of_requests(dataset, taken), *slices_of_items(dataset, dataset.cuts.test)]
    _leaderboard(judged, out)
    asked = np.isin(taken.query, dataset.test_requests.query)
    found = _slices(judged, list(_of_asked(slices, asked)), newcomers, out)
    lost = _funnel(judged, taken, slices, newcomers, out)
    save_ceilings(ceilings(stages_of(judged.ours), judged.targets, config.gate.list_k), out)
    save_spreads(_spreads(judged, scorer), out)
    if config.evaluation.sampled_negatives:
        save_sampled(sampled(dataset, {**_popularities(dataset), "towers": vectors.score}), out)
    _write_board(found, lost, out / "tensorboard")
    progress.say(_summary(found, lost))


@dataclass(frozen=True)
class _Judged:
    """What the earlier stages found on the test requests; popularity: the one chosen on validation, not fitted."""

    dataset: Dataset
    baselines: dict[str, Results]
    ours: dict[str, Results]
    retrieved: Candidates
    index: ItemIndex
    popularity: Popularity | SegmentPopularity

    @classmethod
    def of(cls, dataset: Dataset, inputs: Inputs) -> _Judged:
        baselines, gate, rank = (load_results(inputs[name] / "results.npz") for name in ("baselines", "gate", "rank"))
        with np.load(inputs["gate"] / "candidates.npz") as saved:
            retrieved = Candidates(saved["items"], saved["scores"], "towers")
        chosen = chosen_popularity(dataset, inputs["baselines"])
        return cls(dataset, baselines, gate | rank, retrieved, load_index(inputs["index"]), chosen)

    @property
    def targets(self) -> Ragged:
        return self.dataset.test_requests.targets

    def rivals(self) -> tuple[Rivals, ...]:
        """The towers are judged by what they retrieve, the final list by its order."""
        gate = self.dataset.config.gate
        return tuple(
            Rivals(name, metric, strongest_popularity(self.baselines, metric), strongest(self.baselines, metric))
            for name, metric in (("towers", f"recall@{gate.k}"), ("final list", f"ndcg@{gate.list_k}"))
        )


def _leaderboard(judged: _Judged, out: Path) -> None:
    dataset = judged.dataset
    config, eligible = dataset.config, dataset.eligible(dataset.cuts.test)
    facts = item_facts(dataset, judged.index.static[:, : config.towers.embedding_dim])
    asked, obvious = dataset.test_requests, judged.popularity.name
    found = leaderboard(judged.baselines, judged.ours, asked, config.gate.list_k, eligible, facts, obvious)
    save_leaderboard(found, out)


def _of_asked(slices: Sequence[Slice], asked: np.ndarray) -> Iterator[Slice]:
    """The slices of all who come back, cut down to those of them that are `asked`; none that is empty then."""
    for one in slices:
        mask = one.mask[asked] if one.of == "requests" else one.mask
        if mask.any():
            yield replace(one, mask=mask)


def _slices(judged: _Judged, slices: Sequence[Slice], newcomers: Newcomers | None, out: Path) -> SliceResults:
    dataset, min_users = judged.dataset, judged.dataset.config.gate.floors.min_users
    results = {**judged.baselines, **judged.ours}
    found = list(judge_slices(results, judged.targets, slices, judged.rivals(), min_users))
    asked = [dataset.test_requests]
    if newcomers is not None:
        asked.append(newcomers.requests)
        found += _newcomers(newcomers, judged, min_users)
    rows, values = zip(*found, strict=True)
    sliced = SliceResults(digest_of(dataset, *asked), min_users, rows)
    save_slices(sliced, values, out)
    return sliced


def _newcomers(newcomers: Newcomers, judged: _Judged, min_users: int) -> Iterator[tuple[SliceResult, np.ndarray]]:
    """They have no baseline to beat but popularity."""
    popular = judged.popularity.name
    rivals = [replace(one, popularity=popular, baseline=popular) for one in judged.rivals()]
    for row, values in judge_slices(newcomers.results, newcomers.requests.targets, [], rivals, min_users):
        yield replace(row, of="newcomers", dimension="newcomers", slice="newcomers"), values


def _funnel(
    judged: _Judged, taken: Requests, slices: Sequence[Slice], newcomers: Newcomers | None, out: Path
) -> Funnels:
    """taken, slices: of all who come back, judged or not."""
    dataset, asked = judged.dataset, judged.dataset.test_requests
    config, eligible = dataset.config, dataset.eligible(dataset.cuts.test)
    stages, list_k = stages_of(judged.ours), config.gate.list_k
    held = held_out(dataset, asked, taken)
    fate = fates(held, asked, eligible, dataset.filter_seen, stages, list_k)
    missing = ~np.isin(taken.query, asked.query)
    found = Funnels(
        k=stages.retrieved.shape[1],
        list_k=list_k,
        not_asked=int(missing.sum()),
        not_asked_items=int(taken.targets.lengths[missing].sum()),
        rows=funnels(*with_not_asked(held, fate, asked, taken, eligible), slices),
        newcomers=_lost_to_newcomers(dataset, newcomers) if newcomers is not None else None,
        newcomers_in_rows=int(np.isin(newcomers.requests.query, taken.query).sum()) if newcomers is not None else 0,
    )
    save_funnels(found, out)
    popular = judged.baselines[judged.popularity.name].items[:, :list_k]
    save_examples(examples(dataset, asked, held, fate, stages.shown, popular, judged.popularity.name), out)
    return found


def _lost_to_newcomers(dataset: Dataset, newcomers: Newcomers) -> Funnel:
    asked, list_k = newcomers.requests, dataset.config.gate.list_k
    held = held_out(dataset, asked, taken_by_newcomers(dataset))
    eligible = dataset.eligible(dataset.cuts.test)
    counted = funnel(held, fates(held, asked, eligible, dataset.filter_seen, newcomers.stages, list_k))
    return replace(counted, of="newcomers", dimension="newcomers", slice="newcomers")


def _spreads(judged: _Judged, scorer: RankScorer) -> ScoreSpreads:
    """Scores of a part of the requests, which is as good as all for a picture."""
    requests, seed = judged.dataset.test_requests, judged.dataset.config.seed
    rows = np.sort(np.random.default_rng(seed).permutation(len(requests))[:_MOST_SPREAD])
    lists = Lists(requests, judged.retrieved, judged.index.trend).take(rows)
    by_ranker = Candidates(lists.candidates.items, scorer.score(lists), "ranker")
    targets = lists.requests.targets
    models = (("towers", lists.candidates), ("ranker", by_ranker))
    return ScoreSpreads(len(rows), tuple(spread(name, scored, targets) for name, scored in models))


def _popularities(dataset: Dataset) -> dict[str, Scorer]:
    """Every popularity at its reference setting, as of the test cut: what is cheap to fit again."""
    found, cut = popularities(dataset), dataset.cuts.test
    for one in found:
        one.fit(dataset.past(cut), dataset.n_queries, dataset.n_items, cut.moment)
    return {one.name: one.scores for one in found}


def _summary(found: SliceResults, lost: Funnels) -> str:
    everything, worse = lost.rows[0], [row.slice for row in regressions(found) if row.slice != "all"]
    return (
        f"{everything.counts[SHOWN]:,} of {everything.total:,} held-out items shown; worse than a baseline in "
        f"{len(set(worse))} of {len({row.slice for row in found.rows}) - 1} slices"
    )


def _write_board(found: SliceResults, lost: Funnels, folder: Path) -> None:
    """The value of every slice, its difference to the strongest baseline, and the share of each fate."""
    board = tf.summary.create_file_writer(str(folder))
    with board.as_default():
        for row in found.rows:
            tf.summary.scalar(f"{row.contender} {row.metric}/{row.slice}", row.value.mean, step=0)
            tf.summary.scalar(f"{row.contender} {row.metric}, lead/{row.slice}", row.hardest.difference.mean, step=0)
        for one in (*lost.rows, *([lost.newcomers] if lost.newcomers is not None else [])):
            for fate, count in zip(FATES, one.counts, strict=True):
                tf.summary.scalar(f"funnel {fate}/{one.slice}", count / one.total, step=0)
    board.close()

"""The rank stage: the ranker learns on the towers' own candidates, and the final list is judged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from configs.schema import Config
from pipelines import encoded as encoding
from pipelines.dataset import Dataset, load_dataset
from pipelines.encoded import Encoded
from pipelines.evaluation.compared import strongest_popularity
from pipelines.evaluation.ranking import rank as rank_all
from pipelines.evaluation.results import Results, load_results, save_results
from pipelines.fit import load_weights, save_weights
from pipelines.fit_ranker import fit_ranker
from pipelines.gate import summary
from pipelines.index.item_index import ItemIndex, load_index
from pipelines.lists import Lists, RankScorer, ranked, reranked
from pipelines.progress import Progress
from pipelines.requests import requests_rolling
from pipelines.split import Cut
from pipelines.stage import Inputs
from pipelines.tables import Candidates
from pipelines.train import FOR_RANKER, SELECTED, load_towers
from pipelines.vectors import Vectors
from pipelines.verdicts import lift_verdict, save_verdicts
from towers.backend import keras
from towers.ranker import Ranker

NAME = "list"
_HELD_OUT = 5  # of one window alone, every fifth query is kept to choose on


def rank(config: Config, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Write the fitted ranker, the results of the final lists of the test requests, and the verdict on them.

    Raises: DivergedError.
    """
    dataset = load_dataset(config, inputs["prepare"])
    tables = dataset.tables
    encoded = encoding.load(config, tables.items, tables.queries, inputs["train"] / "features.json")
    scorer = new_ranker(dataset, encoded)
    best = fit_ranker(scorer, *_learned_and_check(dataset, inputs["train"]), out, progress)
    index = load_index(inputs["index"])
    with np.load(inputs["gate"] / "candidates.npz") as saved:
        candidates = Candidates(saved["items"], saved["scores"], "towers")
    lists = Lists(dataset.test_requests, candidates, index.trend)
    results = _judge(dataset, scorer, lists, index)
    baselines = load_results(inputs["baselines"] / "results.npz")
    metric = f"ndcg@{config.gate.list_k}"
    rival = strongest_popularity(baselines, metric)
    floors = config.gate.floors
    final = results["final list"].metrics[metric]
    verdicts = [
        lift_verdict(
            NAME,
            f"{metric} lift over {rival}",
            final,
            baselines[rival].metrics[metric],
            floors.list_lift,
            floors.min_users,
        )
    ]
    save_weights(scorer.ranker, out / "ranker")
    save_results(results, out / "results.npz")
    save_verdicts(verdicts, out / "verdicts.json")
    (out / "fitted.json").write_text(json.dumps(best) + "\n")
    progress.say(summary(verdicts, config.gate.floors.min_users))


def new_ranker(dataset: Dataset, encoded: Encoded) -> RankScorer:
    """An unfitted ranker with all its weights made; the same weights for the same seed."""
    keras.utils.set_random_seed(dataset.config.seed + 1)
    scorer = RankScorer(dataset.config, Ranker(dataset.config, encoded.fitted), encoded)
    trend = np.zeros((dataset.n_items, dataset.trend.columns), np.float32)
    nothing = Candidates(np.zeros((1, 2), np.int32), np.zeros((1, 2), np.float32), "none")
    scorer.score(Lists(dataset.validation_requests.take(np.array([0])), nothing, trend))
    return scorer


def load_ranker(dataset: Dataset, encoded: Encoded, folder: Path) -> RankScorer:
    """The ranker of the rank stage's folder."""
    scorer = new_ranker(dataset, encoded)
    load_weights(scorer.ranker, folder / "ranker")
    return scorer


def _learned_and_check(dataset: Dataset, towers: Path) -> tuple[Lists, Lists]:
    """What towers fitted up to the validation window and to the ranker's retrieve in them: the ranker learns on the
    former, and is chosen on the latter. Where it has no window of its own, every fifth query of the one is for that."""
    cuts = dataset.cuts
    start, end = cuts.for_ranker
    check = _retrieved(dataset, load_towers(dataset, towers, FOR_RANKER, start), start, end)
    if start != cuts.ranker:
        return _apart(check)
    selected = load_towers(dataset, towers, SELECTED, cuts.validation)
    return _retrieved(dataset, selected, cuts.validation, cuts.ranker), check


def _apart(lists: Lists) -> tuple[Lists, Lists]:
    held_out = lists.requests.query % _HELD_OUT == 0
    if held_out.all() or not held_out.any():
        held_out = np.arange(len(lists.requests)) % _HELD_OUT == 0
    return lists.take(np.flatnonzero(~held_out)), lists.take(np.flatnonzero(held_out))


def _retrieved(dataset: Dataset, vectors: Vectors, cut: Cut, end: Cut) -> Lists:
    """The lists of requests made from `cut` to `end`."""
    config, rules = dataset.config, dataset.rules(cut)
    requests = requests_rolling(dataset.window(cut, end), rules, config.ranker.max_requests, config.seed)
    found = rank_all(vectors.score, requests, config.index.candidates, rules.eligible, rules.filter_seen)
    return Lists(requests, found, vectors.trend)


def _judge(dataset: Dataset, scorer: RankScorer, lists: Lists, index: ItemIndex) -> dict[str, Results]:
    """Metrics of the ranked candidates and of the final list."""
    config, depths = dataset.config, dataset.depths
    found = ranked(lists.candidates, scorer.score(lists))
    content = index.static[:, : config.towers.embedding_dim]
    final = reranked(config, found, content, config.gate.list_k)
    targets = lists.requests.targets
    return {
        "towers + ranker": Results.of(found, targets, *depths),
        "final list": Results.of(final, targets, *depths),
    }

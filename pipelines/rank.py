"""The rank stage: the ranker learns on the towers' own candidates, and the final list is judged."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from configs.schema import Config
from pipelines import encoded as encoding
from pipelines.dataset import Dataset, load_dataset
from pipelines.encoded import Encoded
from pipelines.evaluation.compared import strongest_popularity
from pipelines.evaluation.metrics import per_request
from pipelines.evaluation.ranking import rank as rank_all
from pipelines.evaluation.results import Results, load_results, save_results
from pipelines.fit import diverged, finite, load_weights, save_weights
from pipelines.gate import summary
from pipelines.index.item_index import ItemIndex, load_index
from pipelines.lists import Lists, RankScorer, ranked, reranked
from pipelines.progress import Progress
from pipelines.requests import requests_rolling
from pipelines.stage import Inputs
from pipelines.tables import Candidates
from pipelines.train import FOR_RANKER, load_towers
from pipelines.verdicts import lift_verdict, save_verdicts
from towers.backend import keras, tf, traced
from towers.ranker import Ranker, listwise_loss, relevance

NAME = "list"
Step = Callable[[Mapping[str, tf.Tensor]], tf.Tensor]
_HERE = ("rank", "lower ranker.learning_rate")  # which stage diverged, and what mends it
_HELD_OUT = 5  # every fifth query of the ranker's window is kept to stop early on


def rank(config: Config, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Write the fitted ranker, its item side, the final lists of the test requests, and the verdict on them.

    Raises: DivergedError.
    """
    dataset = load_dataset(config, inputs["prepare"])
    tables = dataset.tables
    encoded = encoding.load(config, tables.items, tables.queries, inputs["train"] / "features.json")
    scorer = new_ranker(dataset, encoded)
    best = _fit(scorer, _training_lists(dataset, inputs["train"]), out, progress)
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


def _training_lists(dataset: Dataset, towers: Path) -> Lists:
    """Candidates that towers fitted up to the ranker's window retrieve in it."""
    config, (start, end) = dataset.config, dataset.cuts.for_ranker
    vectors = load_towers(dataset, towers, FOR_RANKER, start)
    window, rules = dataset.window(start, end), dataset.rules(start)
    requests = requests_rolling(window, rules, config.ranker.max_requests, config.seed)
    found = rank_all(vectors.score, requests, config.index.candidates, rules.eligible, rules.filter_seen)
    return Lists(requests, found, vectors.trend)


def _fit(scorer: RankScorer, lists: Lists, out: Path, progress: Progress) -> dict[str, float]:
    """Fit with early stopping on held-out queries; retrieval's own order is epoch 0 and may be what is kept."""
    config, ranker = scorer.config, scorer.ranker
    held_out = lists.requests.query % _HELD_OUT == 0
    if held_out.all() or not held_out.any():
        held_out = np.arange(len(lists.requests)) % _HELD_OUT == 0
    train, check = lists.take(np.flatnonzero(~held_out)), lists.take(np.flatnonzero(held_out))
    best = {"epoch": 0, "ndcg": _ndcg(scorer, check), "retrieval_ndcg": 0.0}
    best["retrieval_ndcg"] = best["ndcg"]
    taken = train.requests.targets
    ranker.set_known(*scorer.encoded.id_counts(taken.values, train.requests.query[taken.rows], config))
    save_weights(ranker, out / "best")
    step = _step(scorer)
    board = tf.summary.create_file_writer(str(out / "tensorboard"))
    for epoch in range(1, config.ranker.max_epochs + 1):
        loss = _epoch(step, scorer, train, epoch, progress)
        ndcg = _ndcg(scorer, check)
        progress.say(f"ranker epoch {epoch:>2}  ndcg@{config.gate.list_k} {ndcg:.4f}")
        with board.as_default():
            tf.summary.scalar("ranker/loss", loss, step=epoch)
            tf.summary.scalar("ranker/ndcg", ndcg, step=epoch)
        if ndcg > best["ndcg"]:
            best |= {"epoch": epoch, "ndcg": ndcg}
            save_weights(ranker, out / "best")
        if epoch - best["epoch"] >= config.ranker.patience:
            break
    board.close()
    load_weights(ranker, out / "best")
    return best


def _step(scorer: RankScorer) -> Step:
    optimizer = keras.optimizers.Adam(scorer.config.ranker.learning_rate)

    @traced(reduce_retracing=True)
    def step(batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = listwise_loss(scorer.score_batch(batch, training=True), batch["relevant"])
        weights = scorer.ranker.trainable_variables
        gradients = tape.gradient(loss, weights)
        optimizer.apply_gradients([(g, w) for g, w in zip(gradients, weights, strict=True) if g is not None])
        scorer.ranker.randomness.step.assign_add(1)
        return loss

    return step


def _epoch(step: Step, scorer: RankScorer, lists: Lists, epoch: int, progress: Progress) -> float:
    """One pass over the lists that hold a target, in an order drawn from (seed, epoch); to the mean loss."""
    relevant = _relevant(scorer, lists)
    useful = np.flatnonzero(relevant.any(axis=1))
    order = np.random.default_rng([scorer.config.seed, epoch]).permutation(useful)
    size = scorer.config.ranker.batch
    progress.expect(-(-len(order) // size), f"ranker epoch {epoch}")
    losses: list[float] = []
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        batch = scorer.inputs(lists.take(rows)) | {"relevant": relevant[rows]}
        losses.append(float(step({key: tf.constant(value) for key, value in batch.items()})))
        if not math.isfinite(losses[-1]):
            raise diverged("the loss is no number", f"at step {len(losses)} of epoch {epoch}", *_HERE)
        progress.advance()
    if not finite(scorer.ranker):  # a step's loss is that of the weights before it
        raise diverged("weights are no numbers", f"after epoch {epoch}", *_HERE)
    return float(np.mean(losses)) if losses else float("nan")


def _relevant(scorer: RankScorer, lists: Lists) -> np.ndarray:
    targets = lists.requests.targets
    items = len(next(iter(scorer.encoded.items.values())))
    return relevance(lists.candidates.items, targets.rows, targets.values, items)


def _ndcg(scorer: RankScorer, lists: Lists) -> float:
    if not len(lists.requests):
        return 0.0
    found = ranked(lists.candidates, scorer.score(lists))
    return float(per_request(found, lists.requests.targets, scorer.config.gate.list_k)["ndcg"].mean())


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

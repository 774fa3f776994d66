"""Fitting the ranker: listwise, on the towers' own candidates in one window, chosen on the window after it.

What is taken shifts from window to window, and a ranker soon learns what was popular in its own, which no query that
is held out of that window can tell. It is chosen by its loss there: what lists have at their head varies more than
rankers differ, and the best of many epochs by that is often the luckiest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipelines.evaluation.metrics import per_request
from pipelines.fit import diverged, finite
from pipelines.lists import Lists, RankScorer, ranked
from pipelines.progress import Progress
from towers.backend import keras, tf, traced
from towers.optimizers import Average
from towers.ranker import listwise_loss, relevance

_HERE = ("rank", "lower ranker.learning_rate")  # which stage diverged, and what mends it

Batch = Mapping[str, tf.Tensor]


@dataclass(frozen=True)
class _Epoch:
    """An epoch (0: before the first), its loss and NDCG on what is chosen on, and the weights that have them."""

    number: int
    loss: float
    ndcg: float
    weights: list[np.ndarray]


def fit_ranker(scorer: RankScorer, learned: Lists, check: Lists, out: Path, progress: Progress) -> dict[str, float]:
    """Fit on the lists `learned`, and keep the epoch with the least loss on `check`.

    Kept is retrieval's own order, as epoch 0, unless that epoch ranks `check` better. Writes curves into `out`. Returns
    the epoch and both orders' NDCG on `check`. Raises: DivergedError.
    """
    config, weights = scorer.config.ranker, scorer.ranker.trainable_variables
    _set_known(scorer, learned)
    step, learned, judge = _Step(scorer), _useful(scorer, learned), _judge_of(scorer, check)
    retrieval = judge(0)
    best = replace(retrieval, loss=math.inf)
    curves, metric = tf.summary.create_file_writer(str(out / "tensorboard")), f"ndcg@{scorer.config.gate.list_k}"
    for number in range(1, config.max_epochs + 1):
        loss = _pass(step, scorer, learned, number, progress)
        with step.averaged():
            epoch = judge(number)
        best = min(best, epoch, key=lambda one: one.loss)
        progress.say(
            f"ranker epoch {number:>2}  loss {epoch.loss:.4f}  {metric} {epoch.ndcg:.4f} (towers {retrieval.ndcg:.4f})"
        )
        with curves.as_default():
            for name, value in {"loss": loss, "check_loss": epoch.loss, "ndcg": epoch.ndcg}.items():
                tf.summary.scalar(f"ranker/{name}", value, step=number)
        if number - best.number >= config.patience:
            break
    curves.close()
    if best.ndcg <= retrieval.ndcg:
        best = retrieval
    progress.say(f"kept: epoch {best.number}" if best.number else "kept: the towers' order, which no ranker betters")
    for weight, kept in zip(weights, best.weights, strict=True):
        weight.assign(kept)
    return {"epoch": best.number, "ndcg": best.ndcg, "retrieval_ndcg": retrieval.ndcg}


class _Step:
    """One step of the optimizer, and the moving average of the weights, where the config has one."""

    def __init__(self, scorer: RankScorer) -> None:
        config, self._scorer = scorer.config.ranker, scorer
        self._weights = scorer.ranker.trainable_variables
        self._optimizer = keras.optimizers.Adam(config.learning_rate)
        self._average = Average(self._weights, config.average, by_rows=False) if config.average else None
        self._call = traced(self._step, reduce_retracing=True)

    def __call__(self, batch: Batch) -> float:
        """The batch's loss, before the weights move."""
        return float(self._call(batch))

    def averaged(self) -> AbstractContextManager[None]:
        """Within the block the ranker's weights are their moving average, where there is one."""
        return self._average.in_place() if self._average else nullcontext()

    def _step(self, batch: Batch) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = listwise_loss(self._scorer.score_batch(batch, training=True), batch["relevant"])
        gradients = tape.gradient(loss, self._weights)
        moved = [(g, w) for g, w in zip(gradients, self._weights, strict=True) if g is not None]
        self._optimizer.apply_gradients(moved)
        if self._average:
            self._average.after(gradients)
        self._scorer.ranker.randomness.step.assign_add(1)
        return loss


def _set_known(scorer: RankScorer, lists: Lists) -> None:
    """Tell the ranker which ids occur in what it learns from."""
    taken = lists.requests.targets
    scorer.ranker.set_known(*scorer.encoded.id_counts(taken.values, lists.requests.query[taken.rows], scorer.config))


def _useful(scorer: RankScorer, lists: Lists) -> Lists:
    """Those that hold a target."""
    return lists.take(np.flatnonzero(_relevant(scorer, lists).any(axis=1)))


def _judge_of(scorer: RankScorer, check: Lists) -> Callable[[int], _Epoch]:
    """What judges the ranker, as it is, by `check`: 0 where that is empty. Raises: DivergedError."""
    relevant, k = tf.constant(_relevant(scorer, check)), scorer.config.gate.list_k

    def judge(number: int) -> _Epoch:
        loss = ndcg = 0.0
        if len(check.requests):
            scores = scorer.score(check)
            loss = float(listwise_loss(tf.constant(scores), relevant))
            ndcg = float(per_request(ranked(check.candidates, scores), check.requests.targets, k)["ndcg"].mean())
        if not math.isfinite(loss):  # weights may be numbers yet, if huge ones
            raise diverged("scores are no numbers", f"after epoch {number}", *_HERE)
        return _Epoch(number, loss, ndcg, [weight.numpy().copy() for weight in scorer.ranker.trainable_variables])

    return judge


def _pass(step: _Step, scorer: RankScorer, lists: Lists, epoch: int, progress: Progress) -> float:
    """One pass over the lists, in an order drawn from (seed, epoch); to the mean loss."""
    order = np.random.default_rng([scorer.config.seed, epoch]).permutation(len(lists.requests))
    size = scorer.config.ranker.batch
    progress.expect(-(-len(order) // size), f"ranker epoch {epoch}")
    losses: list[float] = []
    for start in range(0, len(order), size):
        part = lists.take(order[start : start + size])
        batch = scorer.inputs(part) | {"relevant": _relevant(scorer, part)}
        losses.append(step({key: tf.constant(value) for key, value in batch.items()}))
        if not math.isfinite(losses[-1]):
            raise diverged("the loss is no number", f"at step {len(losses)} of epoch {epoch}", *_HERE)
        progress.advance()
    if not finite(scorer.ranker):  # a step's loss is that of the weights before it
        raise diverged("weights are no numbers", f"after epoch {epoch}", *_HERE)
    return float(np.mean(losses)) if losses else math.nan


def _relevant(scorer: RankScorer, lists: Lists) -> np.ndarray:
    targets = lists.requests.targets
    items = len(next(iter(scorer.encoded.items.values())))
    return relevance(lists.candidates.items, targets.rows, targets.values, items)

"""The train stage: select the towers on the validation window, then refit them up to the later cuts.

The ranker learns in the validation window, on candidates of the selected towers, and is chosen in the next, on those of
towers that are as fresh there as the served ones are: towers left at the validation cut have a staleness there that
serving does not have.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from configs.schema import Config
from pipelines import encoded as encoding
from pipelines.arrays import keep_all, on_disk
from pipelines.dataset import Dataset, load_dataset
from pipelines.encoded import Encoded
from pipelines.evaluation.metrics import per_request
from pipelines.evaluation.ranking import rank_targets
from pipelines.evaluation.slices import request_slices
from pipelines.examples import Examples
from pipelines.files import remove_whole
from pipelines.fit import USED_UP, Fitted, Rate, Trainer, diverged, load_weights, save_weights
from pipelines.fit_mixing import fit_mixing
from pipelines.mining import miner
from pipelines.mixing import load_mixing
from pipelines.progress import Progress
from pipelines.sequences import Sequences
from pipelines.split import Cut
from pipelines.stage import Inputs
from pipelines.tables import Requests
from pipelines.trend import listed_times
from pipelines.trend_counts import trends_of
from pipelines.vectors import Vectors
from towers.backend import keras, tf
from towers.features import encode
from towers.negatives import Sources
from towers.precision import computing_in
from towers.retrieval import Log, TwoTower

Record = Callable[[int, Mapping[str, float]], None]
_LOG = "log"  # what a fit reads, while it lasts
_PROBES = 8  # requests whose scores tell whether towers diverged
_JUDGES = 10_000  # validation requests, at most: each epoch ranks the whole catalogue for all of them
SELECTED, FOR_RANKER, REFITTED = "selected", "for-ranker", "refitted"  # fitted up to validation, ranker, test


def train(config: Config, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Write feature statistics, the selected and both refitted towers, what is mixed in, and what TensorBoard shows."""
    dataset = load_dataset(config, inputs["prepare"])
    encoded = _encoded(dataset, out / "features.json")
    model = new_towers(dataset, encoded, config.train.precision)
    board = tf.summary.create_file_writer(str(out / "tensorboard"))
    with board.as_default():
        tf.summary.text("config", f"```json\n{json.dumps(config.model_dump(mode='json'), indent=2)}\n```", step=0)
    fitted = _select(dataset, encoded, model, out / SELECTED, progress, _recorder(board, "towers", progress))
    progress.say(f"validation recall@{config.gate.k} {fitted.best_recall:.4f} after epoch {fitted.best_epoch}")
    load_weights(model, out / SELECTED / "best")
    fit_mixing(dataset, Vectors(config, model, encoded, dataset.trend_at(dataset.cuts.validation)), out, progress)
    for which, cut in ((FOR_RANKER, dataset.cuts.for_ranker[0]), (REFITTED, dataset.cuts.test)):
        record = _recorder(board, "refit" if which == REFITTED else "refit for ranker", progress)
        load_weights(model, out / SELECTED / "best")  # both refits go as far from here as the other
        if cut == dataset.cuts.validation:  # the ranker is chosen where the towers were: nothing to refit on
            save_weights(model, out / which / "best")
            continue
        refit(dataset, encoded, model, cut, out / which, progress, record)
    board.close()
    (out / "fitted.json").write_text(json.dumps(asdict(fitted)) + "\n")
    _let_go(out)


def try_towers(dataset: Dataset, folder: Path, progress: Progress, record: Record) -> Fitted:
    """Fit and select towers as the stage does, without refits, keeping only how well they did.

    `record` gets the scalars of each epoch and may raise to end it there.
    """
    encoded = _encoded(dataset, folder / "features.json")
    model = new_towers(dataset, encoded, dataset.config.train.precision)
    fitted = _select(dataset, encoded, model, folder / SELECTED, progress, record)
    remove_whole(folder / SELECTED / _LOG)
    return fitted


def load_towers(dataset: Dataset, folder: Path, which: str, cut: Cut) -> Vectors:
    """Towers of the train stage's folder, `which` of its three fits, with trends and what is mixed in as of `cut`."""
    config, tables = dataset.config, dataset.tables
    encoded = encoding.load(config, tables.items, tables.queries, folder / "features.json")
    model = new_towers(dataset, encoded)
    load_weights(model, folder / which / "best")
    return Vectors(config, model, encoded, dataset.trend_at(cut), load_mixing(dataset, folder, cut))


def new_towers(dataset: Dataset, encoded: Encoded, precision: str = "float32") -> TwoTower:
    """Unfitted towers with all their weights made; the same weights for the same seed.

    Whatever `precision` they were fitted in, a Keras policy, weights are float32, and are served in that.
    """
    keras.utils.set_random_seed(dataset.config.seed)
    with computing_in(precision):
        model = TwoTower(dataset.config, encoded.fitted, encoded.items, dataset.trend.columns)
    trend = np.zeros((dataset.n_items, dataset.trend.columns), np.float32)
    Vectors(dataset.config, model, encoded, trend).trace(dataset.validation_requests.take(np.array([0])))
    return model


def _encoded(dataset: Dataset, path: Path) -> Encoded:
    """Feature statistics, from what was there before the validation cut: items, queries, and contexts of events."""
    cut = dataset.cuts.validation
    past = dataset.past(cut)
    seen = np.bincount(past.query, minlength=dataset.n_queries) > 0
    tables = dataset.tables
    encoded = encoding.encode_tables(
        dataset.config, tables.items, tables.queries, past.context, dataset.eligible(cut), seen
    )
    encoding.save(encoded, path)
    return encoded


def _select(
    dataset: Dataset,
    encoded: Encoded,
    model: TwoTower,
    folder: Path,
    progress: Progress,
    record: Record,
) -> Fitted:
    """Fit on events before the validation cut; the best epoch is the one with the best candidate recall after it."""
    config, cut = dataset.config, dataset.cuts.validation
    examples = _examples(dataset, encoded, cut, folder / _LOG)
    log = _log(dataset, examples, cut)
    trainer = _trainer(dataset, encoded, model, examples, log, cut, config.train.learning_rate, folder)
    mining = miner(dataset, encoded, model, cut, log.sources.mined, config.train.negatives.hard_from)
    eligible, requests = dataset.eligible(cut), judges(dataset)
    trend = dataset.trend_at(cut)

    def validate() -> Mapping[str, float]:
        vectors = Vectors(config, model, encoded, trend)
        _refuse_diverged(vectors, requests)
        candidates = rank_targets(vectors.score, requests, config.gate.k, eligible, dataset.filter_seen)
        recall = per_request(candidates, requests.targets, config.gate.k)["recall"]
        ndcg = per_request(candidates, requests.targets, config.gate.list_k)["ndcg"]
        slices = request_slices(dataset, requests)
        by_slice = {f"recall by {name}": float(recall[rows].mean()) for name, rows in slices.items()}
        return {"recall": float(recall.mean()), "ndcg": float(ndcg.mean()), **by_slice}

    return trainer.fit(config.train.max_epochs, config.train.patience, validate, progress, record, mining)


def _let_go(out: Path) -> None:
    """Remove what the three fits needed while they lasted, and what was put aside."""
    for part in (SELECTED, FOR_RANKER, REFITTED):
        for used_up in (*USED_UP, _LOG):
            remove_whole(out / part / used_up)


def judges(dataset: Dataset) -> Requests:
    """The validation requests that epochs are judged by."""
    return dataset.validation_requests.drawn(_JUDGES, dataset.config.seed)


def refit(
    dataset: Dataset,
    encoded: Encoded,
    model: TwoTower,
    cut: Cut,
    folder: Path,
    progress: Progress,
    record: Record,
) -> None:
    """Go on from the model's weights with all events before `cut`, for a number of epochs set beforehand.

    Raises: DivergedError.
    """
    train = dataset.config.train
    examples = _examples(dataset, encoded, cut, folder / _LOG)
    # with nothing to stop it at a good moment, the rate falls to zero instead
    falling = keras.optimizers.schedules.CosineDecay(train.learning_rate, train.refit_epochs * examples.steps)
    log = _log(dataset, examples, cut)
    trainer = _trainer(dataset, encoded, model, examples, log, cut, falling, folder)
    # towers that are fitted already may be mined from the first epoch on
    trainer.fit_fixed(train.refit_epochs, progress, record, miner(dataset, encoded, model, cut, log.sources.mined, 1))
    _refuse_diverged(Vectors(dataset.config, model, encoded, dataset.trend_at(cut)), dataset.validation_requests)
    save_weights(model, folder / "best")
    remove_whole(folder / _LOG)


def _refuse_diverged(vectors: Vectors, requests: Requests) -> None:
    """Weights can all be numbers where what is worked out of them is not, and then no step shows it but the next."""
    with np.errstate(invalid="ignore", over="ignore"):
        scores = vectors.score(requests.take(np.arange(min(len(requests), _PROBES))))
    if not np.isfinite(scores).all():
        raise diverged("scores are no numbers", "when the epoch ends")


def _examples(dataset: Dataset, encoded: Encoded, cut: Cut, folder: Path) -> Examples:
    """Training batches of the events before `cut`, which are read from `folder`: grouped by query, and encoded."""
    keep, sequences = on_disk(folder), Sequences.of(dataset.past(cut), dataset.n_queries)
    context = keep_all(keep, encode(encoded.context, sequences.context), "context-")
    kept = keep_all(keep, {name: getattr(sequences, name) for name in ("starts", "query", "item", "time", "weight")})
    log = Sequences(**kept, context={})
    return Examples(dataset.config, log, encoded.queries, context, dataset.trend, dataset.n_items, keep)


def _log(dataset: Dataset, examples: Examples, cut: Cut) -> Log:
    """What the loss must know of the events before `cut`."""
    past = dataset.past(cut)
    listed = listed_times(past, dataset.available)
    train = dataset.config.train
    beforehand = train.xla or train.negatives.covers(dataset.n_items)  # XLA wants shapes that no draw decides
    return Log(
        trends_of(dataset.trend, past, dataset.available, beforehand),
        listed if (listed > past.time.min()).any() else None,
        Sources.of(train.negatives, *examples.shares(listed)),
    )


def _trainer(
    dataset: Dataset,
    encoded: Encoded,
    model: TwoTower,
    examples: Examples,
    log: Log,
    cut: Cut,
    rate: Rate,
    folder: Path,
) -> Trainer:
    """A trainer on the events before `cut`; ids seen too rarely in them are unknown to the model."""
    past = dataset.past(cut)
    rows = np.bincount(past.item, minlength=dataset.n_items)
    model.set_known(*encoded.id_counts(past.item, past.query, dataset.config), rows)
    return Trainer(model, examples, log, rate, folder, dataset.config.train)


def _recorder(board: tf.summary.SummaryWriter, prefix: str, progress: Progress) -> Record:
    """Writes an epoch's scalars to TensorBoard and a line to the person who waits."""

    def record(epoch: int, scalars: Mapping[str, float]) -> None:
        with board.as_default():
            for name, value in scalars.items():
                tf.summary.scalar(f"{prefix}/{name}", value, step=epoch)
        board.flush()
        shown = ("loss", "recall", "ndcg")
        parts = [f"{name} {scalars[name]:.4f}" for name in shown if name in scalars]
        if "examples_per_second" in scalars:
            parts.append(f"{scalars['examples_per_second']:,.0f} examples/s")
        progress.say("  ".join([f"{prefix} epoch {epoch:>2}", *parts]))

    return record

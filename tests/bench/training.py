"""`make bench-training DATA=...`: how fast towers train, against the TFRS tutorial's recipe (`tests.bench.tutorial`).

MovieLens 1M, what lies before the validation cut of configs/movielens-1m.toml. An example is a positive pair, and both
sides know ids alone: no history, no trends, no biases of items. Both score by products of 32 numbers and take 8,192
examples a step. Twinspire compares them with the whole catalogue, once for all examples of a row, as a
user known by the id alone wants the same at all moments; the tutorial compares each example with all of its step.

One evaluator judges both: recall@100 on the validation window, over all items but those seen. Each runs in a process of
its own, one after another. The tutorial is run as published until its recall has not risen for PATIENCE epochs. Time to
equal recall is what each side trained up to the end of the first epoch at which it reached the tutorial's best, without
validation, start-up and tracing, which have rows of their own. Twinspire's epochs are cut shorter, so that it is looked
at more often. Its settings (SETTINGS) were chosen on the validation window.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from configs.load import load, parse
from configs.schema import Config
from pipelines.dataset import Dataset, load_dataset
from pipelines.evaluation.metrics import per_request
from pipelines.evaluation.ranking import DotProduct, rank_targets
from pipelines.progress import Progress
from pipelines.run import open_run, run_until
from pipelines.tables import Requests
from tests.bench.harness import Row, bench

STARTED = time.perf_counter()
WIDTH, PATIENCE, MOST = 32, 5, 20  # epochs
GOAL = 10
BATCH, SMALLER, WITH_METRICS = 8192, 2048, 10 * 8192  # batch sizes, and examples
ID = {"kind": "id", "dimension": WIDTH, "dropout": 0.0, "min_count": 1}
SETTINGS: dict[str, Any] = {
    "towers": {
        "embedding_dim": WIDTH,
        "item_bias": False,
        "hidden": [],
        "dropout": 0.0,
        "similarity": "dot",
        "temperature": 1.0,
        "history": {"encoder": "none"},
    },
    "trend": {"enabled": False},
    "train": {
        "target": "next",
        "batch": BATCH,
        "optimizer": "adagrad",
        "learning_rate": 0.05,
        "max_examples": 200_000,
        "cold_items": 0.0,
        "average": 0.0,
        "max_epochs": 12,
        "patience": 12,
    },
}


@dataclass
class Fit:
    """What a process tells of its fit: seconds and recall of each epoch, and what came before; MB at most."""

    start: float = 0.0  # seconds from the start of Python to the first step
    examples: int = 0
    seconds: list[float] = field(default_factory=list)
    recall: list[float] = field(default_factory=list)
    peak: float = 0.0

    @property
    def throughput(self) -> float:
        """Examples a second, over all epochs."""
        return self.examples / sum(self.seconds)

    def time_to(self, recall: float) -> float:
        """Seconds of training up to the first epoch that ends at `recall` or above; infinite if there is none."""
        for epoch, reached in enumerate(self.recall):
            if reached >= recall:
                return sum(self.seconds[: epoch + 1])
        return float("inf")


def measure(data: str) -> list[Row]:
    """Run the peer, then twinspire, then the peer in two other ways."""
    tutorial = _run("tutorial", data)
    ours = _run("twinspire", data)
    smaller = _run("tutorial", data, str(SMALLER))
    metrics = _run("metrics", data)
    goal = max(tutorial.recall)
    faster = ours.throughput / tutorial.throughput
    sooner = tutorial.time_to(goal) / ours.time_to(goal)
    epoch = tutorial.recall.index(goal) + 1
    return [
        Row("tutorial: throughput", tutorial.throughput, "examples/s", f"{len(tutorial.recall)} epochs, batch {BATCH}"),
        Row("twinspire: throughput", ours.throughput, "examples/s", f"{len(ours.recall)} epochs, batch {BATCH}"),
        Row("throughput ratio", faster, "times", "", f"at least {GOAL}", faster >= GOAL),
        Row("tutorial: best recall@100", goal, "", f"after epoch {epoch} of {len(tutorial.recall)}"),
        Row("twinspire: best recall@100", max(ours.recall), "", f"epochs of {SETTINGS['train']['max_examples']:,}"),
        Row("tutorial: time to that recall", tutorial.time_to(goal), "s"),
        Row("twinspire: time to that recall", ours.time_to(goal), "s"),
        Row("time to equal recall ratio", sooner, "times", "", f"at least {GOAL}", sooner >= GOAL),
        Row("tutorial: peak memory", tutorial.peak, "MB"),
        Row("twinspire: peak memory", ours.peak, "MB"),
        Row("tutorial: start-up and tracing", tutorial.start, "s", "not in the times above"),
        Row("twinspire: start-up and tracing", ours.start, "s", "not in the times above"),
        Row(f"tutorial, batch {SMALLER}: throughput", smaller.throughput, "examples/s"),
        Row(f"tutorial, batch {SMALLER}: best recall@100", max(smaller.recall), ""),
        Row(f"tutorial, batch {SMALLER}: throughput ratio", ours.throughput / smaller.throughput, "times"),
        Row("tutorial with its metrics: throughput", metrics.throughput, "examples/s", f"{WITH_METRICS:,} examples"),
        Row("tutorial with its metrics: throughput ratio", ours.throughput / metrics.throughput, "times"),
    ]


def _run(*arguments: str) -> Fit:
    command = [sys.executable, "-m", "tests.bench.training", *arguments]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return Fit(**json.loads(output.splitlines()[-1]))


def config(data: str) -> Config:
    """configs/movielens-1m.toml, ids alone."""
    values = load(Path("configs/movielens-1m.toml"), [f"data.path={data}"]).model_dump(mode="json")
    values["data"]["segment"] = None
    features = [{"name": "item_id", "table": "items", **ID}, {"name": "user_id", "table": "queries", **ID}]
    return parse(values | SETTINGS | {"name": "bench-training", "features": features})


def fit_peer(config: Config, batch: int, metrics: bool) -> Fit:
    """The tutorial's fit; with its metrics, over few examples and without a look at recall."""
    from tests.bench.tutorial import Tutorial, fit_tutorial, keras, tf

    dataset, recall = _judged(config)
    users, items = dataset.tables.queries["query"].to_numpy(str), dataset.tables.items["item"].to_numpy(str)
    past = dataset.past(dataset.cuts.validation)
    pairs = users[past.query], items[past.item]
    if metrics:
        pairs = pairs[0][:WITH_METRICS], pairs[1][:WITH_METRICS]
    keras.utils.set_random_seed(config.seed)
    model, fit = Tutorial(users, items, WIDTH, metrics), Fit()

    def after(seconds: float) -> bool:
        if not fit.seconds:
            fit.start = time.perf_counter() - STARTED - seconds
        fit.seconds.append(seconds)
        fit.examples += len(pairs[0])
        if metrics:
            return False
        known, catalogue = model.users(tf.constant(users)).numpy(), model.items(tf.constant(items)).numpy()
        fit.recall.append(recall(lambda requests: known[requests.query], catalogue))
        return len(fit.recall) - fit.recall.index(max(fit.recall)) <= PATIENCE

    fit_tutorial(model, *pairs, batch, MOST, after)
    return fit


def fit_ours(config: Config) -> Fit:
    """Twinspire's fit, as the train stage selects towers."""
    from pipelines.train import try_towers

    dataset, _ = _judged(config)
    fit = Fit()

    def record(epoch: int, scalars: Mapping[str, float]) -> None:
        if not fit.seconds:
            fit.start = time.perf_counter() - STARTED - scalars["seconds"]
        fit.seconds.append(scalars["seconds"])
        fit.recall.append(scalars["recall"])
        fit.examples += round(scalars["examples_per_second"] * scalars["seconds"])

    with tempfile.TemporaryDirectory() as folder:
        try_towers(dataset, Path(folder), Progress(quiet=True), record)
    return fit


def _judged(config: Config) -> tuple[Dataset, Callable[..., float]]:
    """The data set, and what measures recall@100 on its validation window."""
    dataset = load_dataset(config, run_until(open_run(config), "prepare", Progress(quiet=True)))
    cut, requests = dataset.cuts.validation, dataset.validation_requests

    def recall(queries: Callable[[Requests], np.ndarray], items: np.ndarray) -> float:
        scorer = DotProduct(queries, items)
        found = rank_targets(scorer, requests, config.gate.k, dataset.eligible(cut), dataset.filter_seen)
        return float(per_request(found, requests.targets, config.gate.k)["recall"].mean())

    return dataset, recall


def _peak() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def main(arguments: list[str]) -> None:
    """DATA, or what one process of the benchmark is to fit: tutorial DATA [BATCH], metrics DATA, twinspire DATA."""
    match arguments:
        case ["tutorial", data, *batch]:
            fit = fit_peer(config(data), int(*batch or [str(BATCH)]), metrics=False)
        case ["metrics", data]:
            fit = fit_peer(config(data), BATCH, metrics=True)
        case ["twinspire", data]:
            fit = fit_ours(config(data))
        case _:
            bench("training", lambda: measure(*arguments or ["data/ml-1m"]))
            return
    fit.peak = _peak()
    print(json.dumps(asdict(fit)))


if __name__ == "__main__":
    main(sys.argv[1:])

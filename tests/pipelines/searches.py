"""Searches that take no time: a made-up recall instead of towers, and no TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from configs.load import builtin, load, parse
from configs.schema import Config
from pipelines.progress import Progress
from pipelines.tune.folder import keep, trials_on
from pipelines.tune.log import write_experiment
from pipelines.tune.search import Attempt, Record, Tried, search
from pipelines.tune.space import knobs

QUIET = Progress(quiet=True)
SPACE = {"towers.dropout": {"low": 0.0, "high": 0.5}, "train.batch": [125, 500]}
_OWN = {"towers.embedding_dim": 8, "towers.hidden": [16], "train.batch": 250, "train.max_epochs": 4}


def config(trials: int = 6, space: Mapping[str, Any] | None = None, **changes: Any) -> Config:
    """A config with a small search, and other values at dotted keys."""
    plain = load(builtin("demo")).model_dump(mode="json")
    changes = {**_OWN, "tune.trials": trials, "tune.space": space or SPACE, **changes}
    for key, value in changes.items():
        *parents, last = key.split(".")
        section = plain
        for parent in parents:
            section = section[parent]
        section[last] = value
    return parse(plain)


def scalars(recall: float) -> dict[str, float]:
    """An epoch's scalars."""
    return {"recall": recall, "ndcg": recall / 2, "loss": 1 - recall, "examples_per_second": 1.0}


def peak(config: Config, record: Record) -> None:
    """Recall rises with each epoch, to its highest where dropout is .3 and the batch is small."""
    top = 0.9 - abs(config.towers.dropout - 0.3) - config.train.batch / 1000
    for epoch in range(1, config.train.max_epochs + 1):
        record(epoch, scalars(top * epoch / config.train.max_epochs))


def dying(attempt: Attempt, trial: int, epoch: int, die: Callable[[], None]) -> Attempt:
    """The same, but it dies behind an epoch of a trial, both counted from 1."""
    ran = []

    def dies(config: Config, record: Record) -> None:
        ran.append(config)

        def watched(at: int, scalars: Mapping[str, float]) -> None:
            record(at, scalars)
            if (len(ran), at) == (trial, epoch):
                die()

        attempt(config, watched)

    return dies


def run(config: Config, folder: Path, attempt: Attempt = peak) -> list[Tried]:
    """Search as the command does, but for the data."""
    folder.mkdir(parents=True, exist_ok=True)
    found = trials_on("data of today", folder)
    write_experiment(folder / "tensorboard", knobs(config), config.gate.k, config.gate.list_k)
    for one in search(config, knobs(config), found, attempt, folder / "tensorboard", QUIET):
        found.append(one)
        keep(found, "data of today", folder)
    return found

"""A search's folder: what was tried, its logs, and what came of it."""

from __future__ import annotations

import gc
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from configs.load import digest
from configs.schema import Config
from pipelines import sources
from pipelines.board import LOGS
from pipelines.dataset import load_dataset
from pipelines.files import write_whole
from pipelines.progress import Progress
from pipelines.run import STAGES
from pipelines.shortages import naming_disk
from pipelines.stage import Run, locked
from pipelines.tune import BEST, TRIALS
from pipelines.tune.log import write_experiment
from pipelines.tune.outcome import Outcome, importance, write_best
from pipelines.tune.search import Record, Tried, search, study_of
from pipelines.tune.space import knobs

_SCRATCH = ".trial"


def tune_in_folder(config: Config, root: Path, progress: Progress) -> Outcome:
    """Go on with the search of this config, or begin it. Raises: UserError."""
    searched = knobs(config)
    work = Run(config, root, lambda: sources.fingerprint(config))
    work.folder = folder_of(config, root)
    with locked(root / ".stages" / f"{work.folder.name}.lock"):
        work.open()
        prepared = work.do(STAGES["prepare"], progress)
        logs, data = work.folder / LOGS, prepared.resolve().name
        tried = trials_on(data, work.folder)
        if not tried:
            _begin(work.folder, logs, progress)
            keep(tried, data, work.folder)
        write_experiment(logs, searched, config.gate.k, config.gate.list_k)

        def attempt(changed: Config, record: Record) -> None:
            fit(changed, prepared, work.folder / _SCRATCH, progress, record)

        with naming_disk(work.folder):
            for one in search(config, searched, tried, attempt, logs, progress):
                tried.append(one)
                keep(tried, data, work.folder)
                write_best(config, tried, work.folder)
            write_best(config, tried, work.folder)  # where who was killed had kept a trial, and no more
    mattered = importance(study_of(config, searched, tried))
    return Outcome(config, tuple(tried), mattered, work.folder, _judges(config, prepared))


def _judges(config: Config, prepared: Path) -> int:
    from pipelines.train import judges

    return len(judges(load_dataset(config, prepared)))


def _begin(folder: Path, logs: Path, progress: Progress) -> None:
    shutil.rmtree(logs, ignore_errors=True)  # of trials on other data
    (folder / BEST).unlink(missing_ok=True)  # and the best of them
    if any(folder.glob(_aside("*"))):
        progress.say("trials on other data, or by another version of the code, cannot be compared and are put aside")


def _aside(data: str) -> str:
    return f"trials-on-{data}.json"


def keep(tried: Sequence[Tried], data: str, folder: Path) -> None:
    """Write the trials that are over, and the name of the prepared data they were made on."""
    kept = {"data": data, "trials": [asdict(one) for one in tried]}
    write_whole(folder / TRIALS, json.dumps(kept, indent=1) + "\n")


def trials_on(data: str, folder: Path) -> list[Tried]:
    """What `keep` wrote; trials on other data (or made by other code) cannot be compared and are put aside."""
    if not (folder / TRIALS).is_file():
        return []
    kept = json.loads((folder / TRIALS).read_text(encoding="utf-8"))
    if kept["data"] != data:
        (folder / TRIALS).rename(folder / _aside(kept["data"]))
        return []
    return [Tried(**one | {"curve": tuple(one["curve"])}) for one in kept["trials"]]


def folder_of(config: Config, root: Path) -> Path:
    """Where the search of a config is; a larger budget goes on with the same search."""
    plain = config.model_dump(mode="json", exclude={"tune": {"trials", "minutes"}})
    return root / f"tune-{config.name}-{digest(plain)[:8]}"


def fit(config: Config, prepared: Path, scratch: Path, progress: Progress, record: Record) -> None:
    """Fit towers of one config and select them on the validation window; nothing of them is kept."""
    from pipelines.train import try_towers
    from towers.backend import keras

    shutil.rmtree(scratch, ignore_errors=True)  # of a trial that was killed
    scratch.mkdir()
    keras.backend.clear_session()
    gc.collect()  # models hold themselves in circles, and an error that ends a trial holds its model until here
    try:
        try_towers(load_dataset(config, prepared), scratch, progress, record)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)

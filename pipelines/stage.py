"""Stages and runs: results kept by content hash, skipped when nothing changed, resumed after a crash.

A stage's result lives in `runs/.stages/NAME-KEY/`, where KEY hashes the version of twinspire, the sections of the
config that the stage reads, the data files (for the first stage) and the keys of the stages before it. A run's
folder holds links to its results, so runs that share a prefix share its work.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, reduce
from importlib import import_module
from importlib.util import find_spec
from operator import getitem
from pathlib import Path

from configs.errors import UserError
from configs.load import digest, fingerprint, parse
from configs.schema import Config
from configs.version import VERSION, code_version
from pipelines.files import write_whole
from pipelines.progress import Progress
from pipelines.shortages import naming_disk

Inputs = Mapping[str, Path]
_MADE_FROM = "made-from.json"  # in each result: the results it was made from, by stage
Work = Callable[[Config, Inputs, Path, Progress], None]


class StageError(UserError):
    """A stage cannot run: its run folder is damaged or in use."""


@dataclass(frozen=True)
class Stage:
    """One step: `work(config, inputs, out, progress)` reads the folders of the stages it comes `after` and writes
    `out`. `reads` names the sections and keys ("gate.k") of the config that its result depends on; `resumes` keeps a
    half-written folder; `extras` are modules that it uses where they are installed."""

    name: str
    work: Work
    after: tuple[str, ...]
    reads: tuple[str, ...]
    resumes: bool = False
    extras: tuple[str, ...] = ()


def late(place: str) -> Work:
    """The function at "module:function", imported only when it runs: a cached run need not wait for TensorFlow."""

    def work(config: Config, inputs: Inputs, out: Path, progress: Progress) -> None:
        module, function = place.split(":")
        getattr(import_module(module), function)(config, inputs, out, progress)

    return work


class Run:
    """A run's folder: `config.json`, and one link per finished stage."""

    def __init__(self, config: Config, root: Path, data_fingerprint: Callable[[], str]) -> None:
        """`data_fingerprint` hashes the data's files; it is called only when a stage is to be done."""
        self.config = config
        self.folder = root / f"{config.name}-{fingerprint(config)}"
        self._store = root / ".stages"
        self._data = cache(data_fingerprint)
        self._keys: dict[str, str] = {}

    @property
    def results(self) -> dict[str, Path]:
        """Folders of the finished stages, by name; those made from other inputs than the present ones are left out."""
        return current_results(self.folder)

    def open(self) -> None:
        """Create the folder and write the resolved config."""
        self.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.config.model_dump(mode="json"), indent=2) + "\n"
        write_whole(self.folder / "config.json", text)

    def do(self, stage: Stage, progress: Progress) -> Path:
        """The stage's result: found by its key, or made now. Raises what the stage's work raises."""
        result = self._store / f"{stage.name}-{self._key(stage)}"
        with locked(self._store / f"{result.name}.lock"):
            if result.exists():
                progress.cached(stage.name)
            else:
                self._make(stage, result, progress)
        link = self.folder / stage.name
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(result, self.folder))
        return link

    def _make(self, stage: Stage, result: Path, progress: Progress) -> None:
        partial = result.with_name(result.name + ".partial")
        if partial.exists() and not stage.resumes:
            shutil.rmtree(partial)
        partial.mkdir(parents=True, exist_ok=True)
        inputs = {name: self.folder / name for name in stage.after}
        made_from = {name: path.resolve().name for name, path in inputs.items()}
        with naming_disk(self._store):
            with progress.stage(stage.name):
                stage.work(self.config, inputs, partial, progress)
            (partial / _MADE_FROM).write_text(json.dumps(made_from) + "\n")
        partial.rename(result)

    def _key(self, stage: Stage) -> str:
        config = self.config.model_dump(mode="json")
        parts = {
            "version": (VERSION, code_version()),
            "stage": stage.name,
            "config": {name: reduce(getitem, name.split("."), config) for name in stage.reads},
            "after": [self._keys[name] for name in stage.after],
            "data": None if stage.after else self._data(),
            "extras": [name for name in stage.extras if find_spec(name) is not None],
        }
        self._keys[stage.name] = digest(parts)[:12]
        return self._keys[stage.name]


def current_results(run: Path) -> dict[str, Path]:
    """Folders of a run's finished stages, by name; those made from other inputs than the present ones are left out."""
    linked = {path.name: path for path in run.iterdir() if path.is_symlink() and path.exists()}
    return {name: path for name, path in linked.items() if _is_current(path, linked)}


def _is_current(result: Path, linked: Mapping[str, Path]) -> bool:
    made_from = json.loads((result / _MADE_FROM).read_text())
    return all(
        name in linked and linked[name].resolve().name == folder and _is_current(linked[name], linked)
        for name, folder in made_from.items()
    )


def config_of(folder: Path) -> Config:
    """The config of an existing run. Raises: StageError, ConfigError."""
    path = folder / "config.json"
    if not path.is_file():
        raise StageError(f"run: {folder} holds no config.json; expected the folder of a run, or a TOML file")
    return parse(json.loads(path.read_text()), str(path))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock that dies with the process. Raises: StageError when another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StageError(f"run: another process is working on {path.stem}; wait for it or stop it") from None
        yield

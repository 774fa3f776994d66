"""Whole runs that several test files share: made once a session, on small simulated worlds."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.cores import with_every_core

COMMAND = str(Path(sys.executable).with_name("twinspire"))
SMALL = (
    "data.simulated_events=60000",
    "towers.history.length=20",
    "train.max_epochs=8",
    "ranker.max_requests=3000",
    "ranker.max_epochs=3",
    "baselines.bpr=false",
    "baselines.trials=2",
    "gate.floors.slice_lift=-0.5",
)
CRIPPLED = (  # what comes after the towers need not be good either
    "train.max_epochs=1",
    "train.refit_epochs=1",
    "train.learning_rate=1e-9",
    "towers.temperature=0.01",
    "index.core_ops=false",
    "ranker.max_requests=500",
    "ranker.max_epochs=1",
)


@dataclass(frozen=True)
class Called:
    """What a command left behind."""

    code: int
    out: str
    err: str


def twinspire(*arguments: str | Path, cwd: Path | None = None, check: bool = False, every_core: bool = False) -> Called:
    """Run the installed command as a person would; `check` fails on a non-zero exit."""
    command = [COMMAND, *map(str, arguments)]
    environment = {**(with_every_core() if every_core else os.environ), "COLUMNS": "100"}
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=environment, check=False)
    called = Called(done.returncode, done.stdout, done.stderr)
    assert not check or called.code == 0, called.err
    return called


def settings(*overrides: str) -> list[str]:
    """Overrides as command-line arguments."""
    return [argument for override in overrides for argument in ("--set", override)]

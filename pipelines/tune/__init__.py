"""A bounded search for better settings of the towers; optional, since it needs optuna."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from configs.errors import UserError
from configs.schema import Config
from pipelines.progress import Progress

if TYPE_CHECKING:
    from pipelines.tune.outcome import Outcome

TRIALS, BEST = "trials.json", "best.toml"  # in a search's folder: what was tried, and the best config so far


def is_search(folder: Path) -> bool:
    """Whether a folder is that of a search, and of no run."""
    return (folder / TRIALS).is_file()


def tune(config: Config, root: Path, progress: Progress) -> Outcome:
    """Search the space that `config.tune` names, in a folder of `root`; what was tried before is not tried again.

    Raises: UserError when optuna is missing, or a key or a value of the space is none.
    """
    if find_spec("optuna") is None:
        raise UserError("tune: optuna is not installed; pip install twinspire[tune]")
    from pipelines.tune.folder import tune_in_folder

    return tune_in_folder(config, root, progress)

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


def tune(config: Config, root: Path, progress: Progress) -> Outcome:
    """Search the space that `config.tune` names, in a folder of `root`; what was tried before is not tried again.

    Raises: UserError when optuna is missing, or a key or a value of the space is none.
    """
    if find_spec("optuna") is None:
        raise UserError("tune: optuna is not installed; pip install twinspire[tune]")
    from pipelines.tune.folder import tune_in_folder

    return tune_in_folder(config, root, progress)

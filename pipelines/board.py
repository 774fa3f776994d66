"""TensorBoard on the logs of one run."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from configs.errors import UserError


def log_folders(results: Mapping[str, Path]) -> dict[str, Path]:
    """Folders with TensorBoard logs, by stage; links resolved, since TensorBoard does not follow them."""
    found = {name: (path / "tensorboard").resolve() for name, path in results.items()}
    return {name: path for name, path in found.items() if path.is_dir()}


def open_board(results: Mapping[str, Path], port: int) -> None:
    """Replace this process by TensorBoard. Raises: UserError when nothing has been logged yet."""
    folders = log_folders(results)
    if not folders:
        raise UserError("tensorboard: this run has no logs yet; run its train stage first")
    spec = ",".join(f"{name}:{path}" for name, path in sorted(folders.items()))
    arguments = ["--logdir_spec", spec, "--port", str(port), "--load_fast", "false"]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.execv(sys.executable, [sys.executable, "-m", "tensorboard.main", *arguments])

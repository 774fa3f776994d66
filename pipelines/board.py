"""TensorBoard on the logs of a run or of a search, and what the report puts there."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tensorboard.plugins.text.summary_v2 import text_pb

from configs.errors import UserError
from pipelines.events import EventFile, forget_others, image_summary
from pipelines.look.raster import png
from pipelines.stage import current_results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOGS = "tensorboard"  # in a stage's result, in a run, and in a search


def write_report_board(folder: Path, texts: Mapping[str, str], images: Mapping[str, bytes | Figure]) -> None:
    """Write markdown and pictures (PNG, or matplotlib figures) by tag into `folder`, instead of what was there.

    Tags are grouped by what stands before their first slash, e.g. "decision/verdict". The report writes its own
    into `RUN/report/tensorboard`, where `log_folders` looks. TensorFlow is not imported.
    """
    with EventFile(folder) as file:
        for tag, markdown in texts.items():
            file.add(text_pb(tag, markdown))
        for tag, image in images.items():
            file.add(image_summary(tag, image if isinstance(image, bytes) else png(image)))
    forget_others(folder, file.path)


def log_folders(run: Path) -> dict[str, Path]:
    """Folders with TensorBoard logs in a run's folder, by stage, and of its report."""
    parts = current_results(run) | {"report": run / "report"}
    return {name: (path / LOGS).resolve() for name, path in parts.items() if (path / LOGS).is_dir()}


def gather(folder: Path) -> Path:
    """One folder with the logs of a run (links to them) or of a search, for TensorBoard's --logdir.

    The projector works with a single --logdir alone. Raises: UserError when nothing has been logged yet.
    """
    logs, folders = folder / LOGS, log_folders(folder)
    if not folders and not logs.is_dir():
        raise UserError(f"tensorboard: {folder} has no logs yet; run its train stage first")
    logs.mkdir(exist_ok=True)
    for old in logs.iterdir():
        if old.is_symlink() and old.name not in folders:
            old.unlink()
    for name, path in folders.items():
        new = logs / f".{name}.{os.getpid()}"
        new.symlink_to(os.path.relpath(path, logs.resolve()))
        new.replace(logs / name)
    return logs


def open_board(folder: Path, port: int) -> None:
    """Replace this process by TensorBoard on a run or a search. Raises: UserError when nothing has been logged yet."""
    # the loader that is left out does not follow links
    arguments = ["--logdir", str(gather(folder)), "--port", str(port), "--load_fast", "false"]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.execv(sys.executable, [sys.executable, "-m", "tensorboard.main", *arguments])

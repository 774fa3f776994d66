"""The rolling stage: the test window as production would have lived it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from configs.schema import Config
from pipelines.dataset import Dataset, load_dataset
from pipelines.progress import Progress
from pipelines.rolling.contenders import Contender, popularity, retrained_towers, towers
from pipelines.rolling.judge import judge
from pipelines.rolling.replay import Measured, answer
from pipelines.rolling.results import Replay, save_rolling
from pipelines.rolling.rivals import rivals
from pipelines.rolling.steps import check_data, steps_of
from pipelines.rolling.variants import describe
from pipelines.rolling.words import headline
from pipelines.stage import Inputs
from pipelines.train import REFITTED, load_towers
from towers.backend import tf


def rolling(config: Config, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Write `rolling.json` (see `results.Replay`) and a curve of each variant for TensorBoard. Raises: ConfigError."""
    dataset = load_dataset(config, inputs["prepare"])
    check_data(dataset)
    against = rivals(dataset, inputs["baselines"])
    contenders = [*_towers(dataset, inputs["train"], out, progress), *(popularity(dataset, one) for one in against)]
    found = judge(config, Measured(dataset, answer(dataset, steps_of(dataset), contenders, progress)), against[0].name)
    save_rolling(found, out)
    _write_board(found, out / "tensorboard")
    shutil.rmtree(out / "retrained", ignore_errors=True)
    progress.say(headline(found))


def _towers(dataset: Dataset, folder: Path, out: Path, progress: Progress) -> list[Contender]:
    every = dataset.config.rolling.retrain_every
    found = [towers(dataset, load_towers(dataset, folder, REFITTED, dataset.cuts.test))]
    if every:
        own = load_towers(dataset, folder, REFITTED, dataset.cuts.test)  # others, as fitting changes weights in place
        found.append(retrained_towers(dataset, own, every, out / "retrained", progress))
    return found


def _write_board(found: Replay, folder: Path) -> None:
    """A run for each variant, so that TensorBoard lays their curves over each other."""
    for curve in found.curves:
        name = re.sub(r"[^\w+.-]+", "-", f"{curve.contender} {describe(curve.refreshed)}")
        board = tf.summary.create_file_writer(str(folder / name))
        with board.as_default():
            for metric, points in curve.by_step.items():
                for span, point in zip(found.spans, points, strict=True):
                    if point is not None:
                        tf.summary.scalar(f"rolling/{metric}", point.mean, step=span.number)
        board.close()

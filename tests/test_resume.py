"""A run that is interrupted or killed goes on where it stopped, and ends where an undisturbed one ends.

Processes have every core here: what is added up by several threads must come out the same each time.
"""

import hashlib
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cores import with_every_core
from tests.runs import COMMAND, SMALL, settings, twinspire

pytestmark = pytest.mark.slow

QUICK = (
    *SMALL,
    "data.simulated_events=20000",
    "train.max_epochs=3",
    "train.patience=3",
    "train.batch=512",
    "train.average=0.9",
    "train.checkpoint_every=4",  # of about 30 steps an epoch
    "index.candidates=100",
)


def _home(folder: Path) -> Path:
    from configs.load import builtin

    folder.mkdir()
    (folder / "demo.toml").write_text(builtin("demo").read_text())
    return folder


def _stop_in_training(home: Path, how: signal.Signals, checkpoints: int) -> tuple[int, str]:
    """Start training and send a signal at some moment after so many checkpoints were seen."""
    command = [COMMAND, "train", str(home / "demo.toml"), *settings(*QUICK)]
    process = subprocess.Popen(
        command, cwd=home, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=with_every_core()
    )
    stages, seen = home / "runs" / ".stages", set()
    while len(seen) < checkpoints and process.poll() is None:
        seen |= set(stages.glob("train-*.partial/*/checkpoint/*.index"))
        time.sleep(0.01)
    time.sleep(random.random() / 5)
    os.kill(process.pid, how)
    errors = process.communicate(timeout=60)[1]
    return process.returncode, errors


def _ended(home: Path) -> dict[str, str]:
    """What was chosen, and a hash of all weights of each of the three fits."""
    from towers.backend import tf

    (stage,) = (path for path in (home / "runs" / ".stages").glob("train-*") if path.suffix == "")
    ended = json.loads((stage / "fitted.json").read_text())
    for fit in ("selected", "for-ranker", "refitted"):
        weights, digest = tf.train.load_checkpoint(str(stage / fit / "best" / "weights")), hashlib.sha256()
        for name in sorted(weights.get_variable_to_shape_map()):
            value = weights.get_tensor(name)
            digest.update(name.encode() + (value if isinstance(value, bytes) else value.tobytes()))
        ended[fit] = digest.hexdigest()
    return ended


def test_stopped_at_random_moments_a_run_goes_on_and_ends_the_same(tmp_path: Path):
    whole, broken = _home(tmp_path / "whole"), _home(tmp_path / "broken")
    twinspire("train", whole / "demo.toml", *settings(*QUICK), cwd=whole, check=True, every_core=True)

    code, errors = _stop_in_training(broken, signal.SIGINT, 2)
    assert code == 130, errors
    assert "stopped; run the same command again" in errors
    after = [random.randint(1, 9) for _ in range(2)]
    for checkpoints in after:
        code, _ = _stop_in_training(broken, signal.SIGKILL, checkpoints)
        assert code == -signal.SIGKILL
    assert not list((broken / "runs" / ".stages").glob("train-*/fitted.json"))

    twinspire("train", broken / "demo.toml", *settings(*QUICK), cwd=broken, check=True, every_core=True)
    assert _ended(broken) == _ended(whole), f"killed after {after} checkpoints"
    assert not list(broken.glob("runs/.stages/train-*/*/log"))  # what the fits read is let go of

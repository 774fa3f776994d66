"""A run that is interrupted or killed goes on where it stopped, and ends where an undisturbed one ends."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.runs import COMMAND, SMALL, settings, twinspire

pytestmark = pytest.mark.slow

QUICK = (*SMALL, "data.simulated_events=20000", "train.max_epochs=3", "train.patience=3", "index.candidates=100")


def _stop_in_training(home: Path, how: signal.Signals) -> tuple[int, str]:
    """Start training and send a signal as soon as the first epoch's checkpoint is there."""
    command = [COMMAND, "train", str(home / "demo.toml"), *settings(*QUICK)]
    process = subprocess.Popen(command, cwd=home, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    stages = home / "runs" / ".stages"
    for _ in range(1200):
        if list(stages.glob("train-*.partial/selected/checkpoint/*.index")):
            break
        time.sleep(0.05)
    os.kill(process.pid, how)
    errors = process.communicate(timeout=60)[1]
    return process.returncode, errors


def _fitted(home: Path) -> dict:
    (result,) = (home / "runs" / ".stages").glob("train-*/fitted.json")
    return json.loads(result.read_text())


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_run_goes_on_and_ends_the_same(how: signal.Signals, tmp_path: Path):
    from configs.load import builtin

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for home in (whole, broken):
        home.mkdir()
        (home / "demo.toml").write_text(builtin("demo").read_text())
    twinspire("train", whole / "demo.toml", *settings(*QUICK), cwd=whole, check=True)

    code, errors = _stop_in_training(broken, how)
    if how == signal.SIGINT:
        assert code == 130
        assert "stopped; the same command goes on where this one left off" in errors
    assert not list((broken / "runs" / ".stages").glob("train-*/fitted.json"))

    again = twinspire("train", broken / "demo.toml", *settings(*QUICK), cwd=broken, check=True)
    assert "towers epoch  1" not in again.err
    assert _fitted(broken) == _fitted(whole)

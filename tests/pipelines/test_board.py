"""TensorBoard's log folders, and what the logs of a real run hold."""

import time
import urllib.request
from pathlib import Path
from subprocess import DEVNULL, Popen

import pytest

from configs.errors import UserError
from pipelines.board import log_folders, open_board
from pipelines.report.curves import curves
from tests.conftest import Demo
from tests.runs import COMMAND


def test_only_stages_with_logs_count_and_links_are_resolved(tmp_path: Path):
    (tmp_path / "store" / "tensorboard").mkdir(parents=True)
    (tmp_path / "bare").mkdir()
    (tmp_path / "train").symlink_to(tmp_path / "store")
    found = log_folders({"train": tmp_path / "train", "prepare": tmp_path / "bare"})
    assert found == {"train": tmp_path.resolve() / "store" / "tensorboard"}


def test_a_run_without_logs_is_one_line(tmp_path: Path):
    with pytest.raises(UserError, match="no logs yet; run its train stage first"):
        open_board({"prepare": tmp_path}, 6006)


@pytest.mark.slow
def test_logs_hold_curves_and_recall_by_slice(demo: Demo):
    train = curves(demo.run / "train" / "tensorboard")
    assert {"towers/loss", "towers/recall", "towers/ndcg", "refit/loss"} <= set(train)
    assert any(tag.startswith("towers/recall by history") for tag in train)
    gate = curves(demo.run / "gate" / "tensorboard")
    assert any(tag.startswith("test recall@100/region") for tag in gate)
    assert "ranker/ndcg" in curves(demo.run / "rank" / "tensorboard")


@pytest.mark.slow
def test_the_command_serves_the_run(demo: Demo):
    process = Popen([COMMAND, "tensorboard", str(demo.run), "--port", "6321"], stdout=DEVNULL, stderr=DEVNULL)
    try:
        for _ in range(120):
            try:
                with urllib.request.urlopen("http://localhost:6321/data/runs", timeout=2) as answer:
                    runs = answer.read().decode()
                if "train" in runs:
                    break
            except OSError:
                pass
            time.sleep(0.5)
        assert "train" in runs
    finally:
        process.terminate()
        process.wait(timeout=30)

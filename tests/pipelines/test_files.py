"""Removing whole: who is stopped in between finds all or nothing."""

import shutil
from pathlib import Path

import pytest

from pipelines.files import remove_whole


def _filled(folder: Path) -> Path:
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "file").write_text("held")
    return folder


def test_a_folder_goes_and_a_missing_one_is_fine(tmp_path):
    remove_whole(_filled(tmp_path / "checkpoint"))
    remove_whole(tmp_path / "checkpoint")
    assert list(tmp_path.iterdir()) == []


def test_a_removal_that_is_interrupted_leaves_nothing_under_the_name_and_the_next_cleans_up(tmp_path, monkeypatch):
    folder = _filled(tmp_path / "checkpoint")
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", _killed)
        with pytest.raises(KeyboardInterrupt):
            remove_whole(folder)
    assert not folder.exists()
    remove_whole(_filled(folder))
    assert list(tmp_path.iterdir()) == []


def _killed(path, ignore_errors=False):
    if not ignore_errors:
        raise KeyboardInterrupt

"""Removing and replacing whole: who is stopped in between finds all or nothing."""

import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from pipelines.files import put_back, remove_whole, replaced_whole


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


def _write(folder: Path, text: str) -> None:
    with replaced_whole(folder) as coming:
        (coming / "file").write_text(text)


def _holds(folder: Path, text: str) -> None:
    assert (folder / "file").read_text() == text
    assert list(folder.parent.iterdir()) == [folder]


def test_a_folder_is_replaced_when_the_block_is_over_and_not_where_it_raises(tmp_path):
    folder = tmp_path / "deep" / "best"
    _write(folder, "old")
    with replaced_whole(folder) as coming:
        (coming / "file").write_text("new")
        assert (folder / "file").read_text() == "old"
    _holds(folder, "new")
    with pytest.raises(FileNotFoundError), replaced_whole(folder) as coming:
        (coming / "missing").read_text()
    _holds(folder, "new")


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_replacement_that_is_interrupted_is_undone_or_was_done(tmp_path, monkeypatch, renames):
    folder, done = tmp_path / "best", []
    _write(folder, "old")

    def rename(path, to):
        if len(done) == renames:
            raise KeyboardInterrupt
        done.append(path)
        path.replace(to)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", rename)
        patched.setattr(shutil, "rmtree", lambda path, ignore_errors=False: None)
        with suppress(KeyboardInterrupt):
            _write(folder, "new")
    assert len(done) == renames
    put_back(folder)
    _holds(folder, "new" if renames == 2 else "old")


def _killed(path, ignore_errors=False):
    if not ignore_errors:
        raise KeyboardInterrupt

"""Moments at which item vectors were computed, beside a bundle's graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from serving.computed import COMPUTED, UNKNOWN, read_moments, renew, write_moments
from serving.manifest import BundleError, seal, verify


def test_moments_are_kept_to_the_second(tmp_path: Path):
    write_moments(tmp_path, np.array([5, UNKNOWN, 2**40]))
    assert read_moments(tmp_path, 3).tolist() == [5, UNKNOWN, 2**40]


def test_only_the_renewed_rows_change_and_what_is_new_and_not_renewed_is_unknown(tmp_path: Path):
    write_moments(tmp_path, np.array([5, 6, 7]))
    renew(tmp_path, np.array([1, 4], np.int32), 5, 90)
    assert read_moments(tmp_path, 5).tolist() == [5, 90, 7, UNKNOWN, 90]
    renew(tmp_path, np.empty(0, np.int32), 5, 99)
    assert read_moments(tmp_path, 5).tolist() == [5, 90, 7, UNKNOWN, 90]


def test_a_bundle_from_before_there_were_moments(tmp_path: Path):
    assert read_moments(tmp_path, 3).tolist() == [UNKNOWN] * 3
    assert not (tmp_path / COMPUTED).exists()
    renew(tmp_path, np.array([2]), 3, 90)
    assert read_moments(tmp_path, 3).tolist() == [UNKNOWN, UNKNOWN, 90]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (np.arange(4), "holds 4 moments, expected 3"),
        (np.zeros(3, np.int32), r"holds int32 \[3\], expected int64"),
        (np.zeros((3, 1), np.int64), r"holds int64 \[3, 1\]"),
        (np.array([{}], object), "cannot be read"),
    ],
)
def test_what_are_no_moments_of_this_bundle_is_refused(tmp_path: Path, written: np.ndarray, said: str):
    (tmp_path / COMPUTED).parent.mkdir()
    np.save(tmp_path / COMPUTED, written)
    with pytest.raises(BundleError, match=said):
        read_moments(tmp_path, 3)


def test_half_a_file_is_refused(tmp_path: Path):
    write_moments(tmp_path, np.arange(100))
    whole = (tmp_path / COMPUTED).read_bytes()
    for length in (0, 5, 100, len(whole) - 1):
        (tmp_path / COMPUTED).write_bytes(whole[:length])
        with pytest.raises(BundleError, match="cannot be read"):
            read_moments(tmp_path, 100)


def test_the_manifest_covers_them(tmp_path: Path):
    write_moments(tmp_path, np.array([5, 6, 7]))
    seal(tmp_path, {"items": 3})
    assert str(COMPUTED) in verify(tmp_path)["files"]
    write_moments(tmp_path, np.array([5, 6, 8]))
    with pytest.raises(BundleError, match=r"computed_at\.npy was changed"):
        verify(tmp_path)

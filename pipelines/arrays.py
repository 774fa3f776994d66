"""Arrays on disk, mapped into memory: read a page at a time, and let go of when memory is short."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

Keep = Callable[[str, np.ndarray], np.ndarray]
"""Puts away an array under a name, and gives back one to read from that holds the same."""


def in_memory(name: str, array: np.ndarray) -> np.ndarray:
    """Keeps an array where it is."""
    del name
    return array


def on_disk(folder: Path) -> Keep:
    """Keeps arrays in `folder` as NAME.npy and maps them, read-only."""
    folder.mkdir(parents=True, exist_ok=True)

    def keep(name: str, array: np.ndarray) -> np.ndarray:
        path = folder / f"{name}.npy"
        np.save(path, np.ascontiguousarray(array))
        if not array.size:  # nothing can be mapped of an empty file
            return array
        return np.load(path, mmap_mode="r").view(np.ndarray)

    return keep


def keep_all(keep: Keep, arrays: Mapping[str, np.ndarray], prefix: str = "") -> dict[str, np.ndarray]:
    """`keep` for every array, each under its own name behind `prefix`."""
    return {name: keep(prefix + name, array) for name, array in arrays.items()}

"""Batches padded to few shapes, so that XLA, which compiles a program for each shape, compiles a handful."""

from __future__ import annotations

import numpy as np


def rounded_up(size: int, steps: int) -> int:
    """The next of sizes that grow in so many even steps within each doubling; for 2: 1, 2, 3, 4, 6, 8, 12, 16, ..."""
    step = max(1, (1 << max(0, int(size - 1).bit_length() - 1)) // steps)
    return -(-size // step) * step


def pad(batch: dict[str, np.ndarray], width: int) -> dict[str, np.ndarray]:
    """The same examples in a shape of few: rows, moments (up to `width`) and pairs of `seen` repeated or filled up.

    What is added weighs nothing and is masked, so that a batch gives the loss that it gives unpadded.
    """
    rows, moments = batch["weight"].shape
    more_rows = rounded_up(rows, 2) - rows
    more_moments = min(rounded_up(moments, 1), width) - moments
    padded = {}
    for name, value in batch.items():
        if name == "seen":
            more = 4 ** int(np.ceil(np.log2(len(value)) / 2)) - len(value)
            padded[name] = np.pad(value, ((0, more), (0, 0)), mode="edge")
            continue
        by_moment = value.ndim > 1 and not name.startswith("static/")
        rest = [(0, more_moments)] * by_moment + [(0, 0)] * (value.ndim - 1 - by_moment)
        value = np.pad(value, [(0, 0), *rest], mode="edge")
        padded[name] = np.pad(value, [(0, more_rows), *[(0, 0)] * (value.ndim - 1)], mode="edge")
    for name in ("weight", "mask"):
        lead = batch[name].shape[1]
        padded[name][rows:] = 0
        padded[name][:, lead:] = 0
    return padded

"""How much of one list of items is in another."""

from __future__ import annotations

import numpy as np


def overlap_by_row(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Share of each row of `truth` [Q, k] that is in the same row of `found` [Q, k'], [Q]; 1 where nothing is to be
    found; -1 is nothing."""
    width = np.int64(max(found.max(initial=0), truth.max(initial=0)) + 2)
    row = np.arange(len(truth))[:, None] * width
    hit = np.isin(row + truth, row + found) & (truth >= 0)
    wanted = (truth >= 0).sum(axis=1)
    return np.where(wanted > 0, hit.sum(axis=1) / np.maximum(wanted, 1), 1.0)

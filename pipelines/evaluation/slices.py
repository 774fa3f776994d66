"""Slices: groups of requests, and groups of target items, that a mean over everything would hide."""

from __future__ import annotations

import numpy as np

from pipelines.dataset import Dataset
from pipelines.tables import Ragged, Requests

_HISTORY = ((1, 9), (10, 49), (50, 199), (200, None))
_NEW = 0.1  # items that entered in the last tenth of the log before the cut


def request_slices(dataset: Dataset, requests: Requests) -> dict[str, np.ndarray]:
    """Rows of the requests by history length and by segment; empty slices are left out."""
    lengths = requests.history.lengths
    slices = {}
    for low, high in _HISTORY:
        name = f"history {low}-{high}" if high else f"history {low}+"
        slices[name] = np.flatnonzero((lengths >= low) & (lengths <= (high or lengths.max(initial=0))))
    if dataset.segment is not None:
        values = dataset.tables.queries[dataset.config.data.segment].astype(str).to_numpy()[requests.query]
        for value in np.unique(values):
            slices[f"{dataset.config.data.segment} {value or 'unknown'}"] = np.flatnonzero(values == value)
    return {name: rows for name, rows in slices.items() if len(rows)}


def target_slices(dataset: Dataset, cut: int) -> dict[str, np.ndarray]:
    """Masks over items, [N] bool: the head that takes half of the past events, the tail, new items, unseen items."""
    past = dataset.log.before(cut)
    counts = np.bincount(past.item, minlength=dataset.n_items)
    order = np.argsort(-counts, kind="stable")
    head = np.zeros(dataset.n_items, bool)
    head[order[: int(np.searchsorted(np.cumsum(counts[order]), counts.sum() / 2)) + 1]] = True
    first = np.full(dataset.n_items, np.iinfo(np.int64).max)
    np.minimum.at(first, past.item, past.time)
    entered = np.where(dataset.available > past.time[0], dataset.available, first)
    recent = cut - _NEW * (cut - past.time[0])
    return {
        "head items": head,
        "tail items": ~head & (counts > 0),
        "new items": (entered >= recent) & (counts > 0),
        "items without events": counts == 0,
    }


def only(targets: Ragged, kept: np.ndarray) -> Ragged:
    """Targets that are among the `kept` items ([N] bool); rows stay, some empty."""
    mask = kept[targets.values]
    return Ragged.from_rows(targets.rows[mask], targets.values[mask], len(targets))

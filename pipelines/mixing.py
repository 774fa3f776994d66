"""Segment popularity as columns of item vectors: what `serving.mixing` mixes into scores as histories get shorter.

Counted from the log alone and only from events that may be known at the cut, and refreshed with the index, as trends
are. How much of it is mixed in is learned by `pipelines.fit_mixing`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.dataset import Dataset
from pipelines.split import Cut
from pipelines.tables import Interactions
from serving.mixing import Mixing

_FILE = "mixing.json"
_PRIOR = 20.0  # events' worth of indifference to segments that each item starts from


@dataclass(frozen=True)
class Mixed:
    """A mixing over one data set at one moment.

    window: over what popularity is counted, None for all time; column: [queries], that of each query's segment;
    items: [N, S + 1], as of the moment.
    """

    mixing: Mixing
    window: int | None
    column: np.ndarray
    items: np.ndarray

    @classmethod
    def of(cls, dataset: Dataset, cut: Cut, mixing: Mixing, window: int | None) -> Mixed:
        """As of `cut`."""
        column = columns_of(dataset, mixing.segments)
        past = _counted(dataset, cut, window)
        return cls(mixing, window, column, segment_popularity(past, column, mixing.columns, dataset.n_items))

    def at(self, dataset: Dataset, cut: Cut) -> Mixed:
        """The same as of another cut."""
        return Mixed.of(dataset, cut, self.mixing, self.window)

    def of_newcomer(self, dataset: Dataset, cut: Cut) -> np.ndarray:
        """Of one more item, that nobody took yet, [S + 1]."""
        past = _counted(dataset, cut, self.window)
        return segment_popularity(past, self.column, self.mixing.columns, dataset.n_items + 1)[-1]


def _counted(dataset: Dataset, cut: Cut, window: int | None) -> Interactions:
    past = dataset.past(cut)
    return past if window is None else past.between(cut.moment - window, cut.moment)


def segment_popularity(past: Interactions, column: np.ndarray, columns: int, items: int) -> np.ndarray:
    """Log popularity of N items within each segment, and overall in the last column, float32 [N, columns].

    column [queries]: each query's segment, `columns` - 1 for none. A segment's lift over the whole is observed over
    expected events, both with a prior (the gamma-Poisson shrinker of DuMouchel, The American Statistician, 1999):
    an item with few events is as popular in a segment as it is overall. 0 is the popularity of an average item.
    """
    cell = column[past.query].astype(np.int64) * items + past.item
    counts = np.bincount(cell, past.weight, columns * items).reshape(columns, items)
    total = counts.sum(axis=0)
    expected = counts.sum(axis=1, keepdims=True) * total / max(total.sum(), 1.0)
    lift = np.log((counts[:-1] + _PRIOR) / (expected[:-1] + _PRIOR))
    overall = np.log((total + 0.5) / (total.sum() + 0.5 * items) * items)
    return np.concatenate([overall + lift, overall[None]]).T.astype(np.float32)


def largest_segments(dataset: Dataset, cut: Cut) -> tuple[str, ...]:
    """The segments with most events before `cut`, at most `mixing.segments` of them; none where there is no segment."""
    name = dataset.config.data.segment
    if name is None:
        return ()
    values = dataset.tables.queries[name].astype(str).to_numpy(object)
    segments, code = np.unique(values.astype(str), return_inverse=True)
    counts = np.bincount(code[dataset.past(cut).query], minlength=len(segments))
    found = [place for place in np.argsort(-counts, kind="stable") if segments[place] and counts[place]]
    return tuple(str(segments[place]) for place in found[: dataset.config.mixing.segments])


def columns_of(dataset: Dataset, segments: Sequence[str]) -> np.ndarray:
    """Column of each query, int32 [queries]; the last, `len(segments)`, where its segment is none of `segments`."""
    last = len(segments)
    if not last:
        return np.zeros(dataset.n_queries, np.int32)
    place = {segment: column for column, segment in enumerate(segments)}
    values = dataset.tables.queries[dataset.config.data.segment].astype(str)
    return values.map(place).fillna(last).to_numpy(np.int32)


def save_mixing(folder: Path, mixing: Mixing, window: int | None, learned: Sequence[dict]) -> None:
    """Write what was learned; `learned`: what it did to each bucket of history lengths."""
    found = {"segments": mixing.segments, "window": window, "weights": mixing.weights.tolist(), "learned": learned}
    (folder / _FILE).write_text(json.dumps(found, indent=1) + "\n")


def load_mixing(dataset: Dataset, folder: Path, cut: Cut) -> Mixed | None:
    """What `save_mixing` wrote, as of `cut`; None where nothing is mixed in."""
    found = json.loads((folder / _FILE).read_text())
    weights = np.array(found["weights"], np.float32)
    if not weights.any():
        return None
    return Mixed.of(dataset, cut, Mixing(tuple(found["segments"]), weights), found["window"])

"""A few requests to look at with one's own eyes: what was known, what was shown, what was missed, and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.dataset import Dataset
from pipelines.evaluation.funnel import FATES, SHOWN
from pipelines.evaluation.stored import load, save
from pipelines.tables import Ragged, Requests

_EXAMPLES = 6
_HISTORY, _MISSED = 8, 8  # titles of each that a person will read
_FILE = "examples.json"


@dataclass(frozen=True)
class Shown:
    """An item of a list, and whether the query went on to take it."""

    item: str
    title: str
    hit: bool


@dataclass(frozen=True)
class Missed:
    """A held-out item that the list does not show, and its fate, one of `funnel.FATES`."""

    item: str
    title: str
    fate: str


@dataclass(frozen=True)
class Example:
    """One request. time: on the events' time axis; history: titles of the last few of `history_length` items, the
    latest last; taken: how many items are held out; missed: the first few of `missed_count`; popular: what the chosen
    popularity would have shown."""

    query: str
    time: int
    history_length: int
    history: tuple[str, ...]
    taken: int
    shown: tuple[Shown, ...]
    missed_count: int
    missed: tuple[Missed, ...]
    popular: tuple[Shown, ...]


@dataclass(frozen=True)
class Examples:
    """popularity: the name of the baseline whose lists stand beside ours."""

    popularity: str
    rows: tuple[Example, ...]


def chosen_examples(requests: Requests, held: Ragged, fate: np.ndarray, seed: int) -> np.ndarray:
    """Rows of about six requests, in order: one drawn from each of those with and without a hit, with a history
    below and above the median, and some of all."""
    rng = np.random.default_rng(seed)
    lengths = requests.history.lengths
    hit = np.bincount(held.rows[fate == SHOWN], minlength=len(requests)) > 0
    long = lengths > np.median(lengths)
    groups = [np.flatnonzero((hit == one) & (long == other)) for one in (True, False) for other in (True, False)]
    first = [int(rng.choice(group)) for group in groups if len(group)]
    others = rng.permutation(np.setdiff1d(np.arange(len(requests)), first))
    return np.sort(np.concatenate([first, others[: _EXAMPLES - len(first)]]).astype(np.int64))


def examples(
    dataset: Dataset,
    requests: Requests,
    held: Ragged,
    fate: np.ndarray,
    shown: np.ndarray,
    popular: np.ndarray,
    popularity: str,
) -> Examples:
    """Spell out the chosen ones; shown, popular: items [R, list_k] of the final list and of that popularity."""
    fates = Ragged(held.starts, fate)
    rows = chosen_examples(requests, held, fate, dataset.config.seed)
    return Examples(
        popularity,
        tuple(
            _example(dataset, requests.take(rows[n : n + 1]), held[row], fates[row], shown[row], popular[row])
            for n, row in enumerate(rows)
        ),
    )


def save_examples(found: Examples, folder: Path) -> None:
    """Write examples.json."""
    save(found, folder / _FILE)


def load_examples(folder: Path) -> Examples:
    """Read what `save_examples` wrote."""
    return load(Examples, folder / _FILE)


def _example(
    dataset: Dataset, request: Requests, held: np.ndarray, fate: np.ndarray, shown: np.ndarray, popular: np.ndarray
) -> Example:
    items = dataset.tables.items
    history = request.history[0]
    missed = np.flatnonzero(fate != SHOWN)
    return Example(
        query=str(dataset.tables.queries["query"].iloc[request.query[0]]),
        time=int(request.time[0]),
        history_length=len(history),
        history=tuple(_titles(items, history[-_HISTORY:])),
        taken=len(held),
        shown=_listed(items, shown, request.targets[0]),
        missed_count=len(missed),
        missed=tuple(
            Missed(str(items["item"].iloc[held[n]]), title, FATES[fate[n]])
            for n, title in zip(missed[:_MISSED], _titles(items, held[missed[:_MISSED]]), strict=True)
        ),
        popular=_listed(items, popular, request.targets[0]),
    )


def _listed(items: pd.DataFrame, rows: np.ndarray, targets: np.ndarray) -> tuple[Shown, ...]:
    there = rows[rows >= 0]
    ids = items["item"].iloc[there].astype(str)
    hits = np.isin(there, targets).tolist()
    return tuple(Shown(*parts) for parts in zip(ids, _titles(items, there), hits, strict=True))


def _titles(items: pd.DataFrame, rows: np.ndarray) -> list[str]:
    return items["title"].iloc[rows].astype(str).tolist()

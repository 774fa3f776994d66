"""The second searcher of a run that searches by ScaNN: of core TensorFlow operations, which any server can load."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from configs.stages import Index
from pipelines.index.item_index import ItemIndex
from pipelines.index.record import IndexTuning, save_index_tuning
from serving.searchers import EXACT_BELOW, Searcher, load_searcher, save_searcher

_SEARCHER = "searcher-core.npz"


def core_kind(asked: Index, kind: str, size: int) -> str | None:
    """The searcher of core operations that stands beside one of `kind` over so many items; None where none does."""
    if not asked.core_ops or kind != "scann":
        return None
    return "exact" if size < EXACT_BELOW else "ivf"


def save_core(searcher: Searcher, tuning: IndexTuning, folder: Path) -> None:
    """Write it beside an index, whose items it shares."""
    save_searcher(searcher, folder / _SEARCHER)
    save_index_tuning(tuning, folder, core=True)


def load_core(index: ItemIndex, folder: Path) -> ItemIndex | None:
    """The index that lies in `folder`, behind the searcher of core operations; None where none was made."""
    path = folder / _SEARCHER
    return replace(index, searcher=load_searcher(path)) if path.is_file() else None

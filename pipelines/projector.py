"""Item vectors for TensorBoard's embedding projector: which items the towers hold for alike."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
from tensorboard.plugins.text.summary_v2 import text_pb

from pipelines.dataset import Dataset
from pipelines.events import EventFile
from pipelines.split import Cut

_MOST = 10_000  # points that a browser turns smoothly, and that its t-SNE takes at most
_DAY = 86_400
_CONFIG = """embeddings {
  tensor_name: "items"
  tensor_path: "items.tsv"
  metadata_path: "metadata.tsv"
}
"""


def write_projector(dataset: Dataset, content: np.ndarray, cut: Cut, folder: Path) -> None:
    """Write the content part [N, d] of the item vectors and who the items are, of those most taken before `cut`.

    The projector reads tab-separated text beside the event files of a run, without any checkpoint
    (https://www.tensorflow.org/tensorboard/tensorboard_projector_plugin). Items that are not yet in the catalogue
    are left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    events = np.bincount(dataset.past(cut).item, minlength=dataset.n_items)
    eligible = np.flatnonzero(dataset.eligible(cut))
    rows = eligible[np.argsort(-events[eligible], kind="stable")[:_MOST]]
    np.savetxt(folder / "items.tsv", content[rows], fmt="%.5g", delimiter="\t")
    lines = ["\t".join(map(_safe, line)) for line in _metadata(dataset, rows, events, cut)]
    (folder / "metadata.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8", errors="replace")
    (folder / "projector_config.pbtxt").write_text(_CONFIG)
    shown = f"{len(rows):,} of {len(eligible):,} items" if len(rows) < len(eligible) else f"all {len(rows):,} items"
    with EventFile(folder) as file:  # a folder without events is no run, and the projector would not look into it
        file.add(text_pb("projector", f"The projector shows {shown}: those most taken before the test cut."))


def _metadata(dataset: Dataset, rows: np.ndarray, events: np.ndarray, cut: Cut) -> list[list[str]]:
    """Header and one line an item: title, id, categories, events before the cut, age."""
    items = dataset.tables.items.iloc[rows]
    kinds = [f.name for f in dataset.config.on("items") if f.kind in ("category", "multi_category")]
    clock = dataset.config.data.events.time is not None
    age = (cut.moment - dataset.available[rows]) / (_DAY if clock else 1)
    columns = {"title": items["title"], "item": items["item"]}  # the projector labels by the first
    columns |= {name: items[name] for name in kinds if name not in columns}
    columns |= {"events": pd.Series(events[rows]), "age (days)" if clock else "age": pd.Series(np.round(age, 1))}
    return [list(columns), *map(list, zip(*(column.astype(str) for column in columns.values()), strict=True))]


def _safe(text: str) -> str:
    """Without tabs, line ends and other control characters, and never empty."""
    return re.sub(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", text).strip() or "-"

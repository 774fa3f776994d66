"""The index stage: item vectors at the test cut, and a searcher tuned to the recall that the config asks for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from configs.schema import Config
from pipelines.dataset import Dataset, filters_of, load_dataset
from pipelines.index.core import core_kind, save_core
from pipelines.index.filtered import recall_under_filters
from pipelines.index.growth import fit_growth
from pipelines.index.item_index import ItemIndex, save_index
from pipelines.index.record import IndexTuning, save_index_tuning
from pipelines.index.size import fitting, free_memory
from pipelines.index.tuning import Goal, tune
from pipelines.index.words import tuning_words
from pipelines.progress import Progress
from pipelines.projector import write_projector
from pipelines.stage import Inputs
from pipelines.tables import Requests
from pipelines.train import REFITTED, load_towers
from serving.filters import Texts
from serving.searchers import Searcher, kind_of

_WORTH_SAYING = 10**9  # bytes
_QUERIES = 2000  # query vectors, half of them to choose by and half to judge


def index(config: Config, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Write the searcher, behind ScaNN also one of core operations, the vectors, what tuning tried, and the projector's
    files."""
    dataset = load_dataset(config, inputs["prepare"])
    cut, asked = dataset.cuts.test, config.index
    vectors = load_towers(dataset, inputs["train"], REFITTED, cut)
    rows = np.flatnonzero(dataset.eligible(cut)).astype(np.int32)
    second = core_kind(asked, kind_of(asked.searcher, len(rows)), len(rows))
    items, filters = vectors.items[rows], {name: texts[rows] for name, texts in filters_of(dataset).items()}
    wanted = fitting(asked, len(rows), items.shape[1], second, bool(filters), free_memory())
    if wanted.nbytes > _WORTH_SAYING or wanted.shards > 1:
        progress.say(f"{wanted.kind} over {len(rows):,} items will take {wanted.words}")
    progress.expect(asked.builds, "layouts")
    queries = vectors.of(_validation(dataset))
    goal = Goal(asked.candidates, asked.target_recall, wanted.shards)
    searcher, tuning = tune(asked.searcher, items, queries, goal, asked.builds, progress.advance)
    tuning = _filtering(searcher, tuning, items, filters, queries)
    progress.say(f"{searcher.kind} over {len(rows):,} items: {tuning_words(tuning)}")
    save_index(ItemIndex(searcher, rows, vectors.static, vectors.trend), out)
    save_index_tuning(tuning, out)
    if second:
        progress.expect(1, "layouts of core operations")
        core, tuned = tune(second, items, queries, goal, 1, progress.advance)
        tuned = _filtering(core, tuned, items, filters, queries)
        progress.say(f"{core.kind}, of core operations alone: {tuning_words(tuned)}")
        save_core(core, tuned, out)
    write_projector(dataset, vectors.static[:, : config.towers.embedding_dim], cut, out / "tensorboard")


def _filtering(
    searcher: Searcher, tuning: IndexTuning, items: np.ndarray, filters: Mapping[str, Texts], queries: np.ndarray
) -> IndexTuning:
    """What tuning found, and recall under filters once the searcher's effort is fit for them; half of the queries
    choose, the other half judges."""
    if not filters:
        return tuning
    fit_growth(searcher, items, queries[::2], tuning.k)
    under = recall_under_filters(searcher, items, filters, queries[1::2], tuning.k)
    return tuning.served(searcher.effort, under)


def _validation(dataset: Dataset) -> Requests:
    """Validation requests: their queries look like those of the test window, and nothing is judged on them."""
    requests = dataset.validation_requests
    chosen = np.random.default_rng(dataset.config.seed).permutation(len(requests))[:_QUERIES]
    return requests.take(np.sort(chosen))

"""Vectors of a finished run's towers for `make bench-index`: its own items, or as many simulated ones as one likes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from configs.errors import DataError
from pipelines.dataset import Dataset, load_dataset
from pipelines.feature_columns import columns_of
from pipelines.simulate import WorldSize, build_world
from pipelines.sources.simulated import world_size
from pipelines.stage import config_of, current_results
from pipelines.train import REFITTED, load_towers
from pipelines.vectors import Vectors
from tests.bench.harness import OUT
from towers.backend import tf
from towers.features import Preprocess, encode

_BLOCK = 8192


def vectors_of_run(folder: Path, catalogue: int | None, say: Callable[[str], None]) -> Path:
    """Write item vectors of a finished run, as its index holds them, and query vectors of its test requests.

    To runs/bench/NAME.npz: items [N, D] that may be recommended at the test cut, queries [Q, D] in random order, those
    of a request with several vectors one by one. catalogue: N simulated items instead, of a simulated run.
    Raises: StageError, ConfigError, DataError.
    """
    config, results = config_of(folder), current_results(folder)
    lacking = [name for name in ("prepare", "train") if name not in results]
    if lacking:
        raise DataError(f"run: {folder} lacks {' and '.join(lacking)}; expected a run whose towers are trained")
    if catalogue and config.data.source != "simulated":
        raise DataError(f"--catalogue: {folder} is of {config.data.source}, expected a run of simulated data")
    dataset = load_dataset(config, results["prepare"])
    cut = dataset.cuts.test
    vectors = load_towers(dataset, results["train"], REFITTED, cut)
    queries = vectors.of(dataset.test_requests)
    queries = np.random.default_rng(config.seed).permutation(queries.reshape(-1, queries.shape[-1]))
    own = vectors.items[np.flatnonzero(dataset.eligible(cut))]
    items = _simulated(dataset, vectors, own, catalogue) if catalogue else own
    path = OUT / f"{folder.resolve().name}{f'-{catalogue}' if catalogue else ''}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, items=items, queries=queries)
    say(f"real: vectors of {folder} are in {path}")
    return path


def _simulated(dataset: Dataset, vectors: Vectors, own: np.ndarray, catalogue: int) -> np.ndarray:
    """What the towers make of so many items of the same world, [catalogue, D]: their own ids are unknown but for the
    first, so content says what they are. Trends, and what is mixed in, are those of items of the run, drawn at random.
    """
    config, size = dataset.config, world_size(dataset.config)
    table = build_world(WorldSize(users=2, items=catalogue, events=2, seed=size.seed)).items
    table = table.rename(columns={"item_id": "item"}).assign(item_id=table["item_id"])
    read = Preprocess(config.on("items"), vectors.encoded.fitted)
    static = [_static(table[start : start + _BLOCK], read, vectors) for start in range(0, catalogue, _BLOCK)]
    drawn = np.random.default_rng(config.seed).integers(0, len(own), catalogue)
    return np.concatenate([np.concatenate(static), own[drawn, vectors.static.shape[1] :]], axis=1)


def _static(rows: pd.DataFrame, read: Preprocess, vectors: Vectors) -> np.ndarray:
    columns = encode(read, columns_of(rows, vectors.config.on("items")))
    return vectors.model.items({name: tf.constant(column) for name, column in columns.items()}).numpy()

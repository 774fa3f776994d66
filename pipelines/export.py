"""The export stage: the SavedModel, what serving needs beside it, a sealed manifest, and the replay check."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from configs.load import digest
from configs.schema import Config
from configs.version import VERSION
from pipelines import encoded as encoding
from pipelines.baselines.popularity import SegmentPopularity, windowed_counts
from pipelines.baselines.stage import chosen_popularity
from pipelines.dataset import Dataset, load_dataset
from pipelines.encoded import columns_of
from pipelines.index import load_index
from pipelines.progress import Progress
from pipelines.rank import load_ranker
from pipelines.replay import replay, write_golden
from pipelines.stage import Inputs
from pipelines.train import REFITTED, load_towers
from pipelines.verdicts import load_verdicts, passed
from serving.bundle import STATE, seal
from serving.popularity import PopularityRecommender
from serving.recommender import Catalogue, Models, Recommender
from serving.runtime import signature_table
from serving.state import QueryState, write_state
from towers.backend import tf

BUNDLE = "bundle"
POLICIES = ("model", "popularity")


def export(config: Config, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Write the bundle of the model, and check that it answers as the offline pipeline does."""
    dataset = load_dataset(config, inputs["prepare"])
    module = _recommender(dataset, inputs)
    folder = out / BUNDLE
    _write(dataset, module, folder)
    verdicts = [*load_verdicts(inputs["gate"] / "verdicts.json"), *load_verdicts(inputs["rank"] / "verdicts.json")]
    agreement = replay(dataset, inputs, folder, _kind(module))
    (out / "replay.json").write_text(json.dumps(agreement) + "\n")
    progress.say(
        f"replay of {agreement['requests']} requests: {agreement['python']:.2%} of ids agree in Python, "
        f"{agreement['c_loader']:.2%} through the C loader"
    )
    write_golden(dataset, folder, _kind(module))
    facts = _facts(dataset, module, folder) | {
        "policy": "model",
        "parts": _parts(inputs),
        "verdicts": [asdict(verdict) for verdict in verdicts],
        "publishable": passed(verdicts),
    }
    seal(folder, facts)


def export_popularity(config: Config, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Write a bundle of the best popularity (chosen on validation, counted to the end of the log)."""
    dataset = load_dataset(config, inputs["prepare"])
    best = chosen_popularity(dataset, inputs["baselines"])
    best.fit(dataset.log, dataset.n_queries, dataset.n_items, dataset.cuts.end)
    scores = best.shares if isinstance(best, SegmentPopularity) else best.counts[None]
    scores = np.where(dataset.eligible(dataset.cuts.end) & (scores[-1] > 0), scores, -np.inf)
    fitted = encoding.encode_tables(config, dataset.tables.items, dataset.tables.queries, dataset.log.context).fitted
    module = PopularityRecommender(config, fitted, _ids(dataset), scores, _segments(dataset, best))
    folder = out / BUNDLE
    _write(dataset, module, folder)
    write_golden(dataset, folder, "exact")
    seal(folder, _facts(dataset, module, folder) | {"policy": best.name, "publishable": True, "verdicts": []})
    progress.say(f"popularity bundle: {best.name}")


def _recommender(dataset: Dataset, inputs: Inputs) -> Recommender:
    config, cut = dataset.config, dataset.cuts.test
    vectors = load_towers(dataset, inputs["train"], REFITTED, cut)
    index = load_index(inputs["index"])
    scorer = load_ranker(dataset, vectors.encoded, inputs["rank"])
    best = chosen_popularity(dataset, inputs["baselines"])
    counts = windowed_counts(dataset.log, dataset.n_items, cut, best.window)
    popular = np.argsort(-np.where(dataset.eligible(cut), counts, -1.0), kind="stable")
    catalogue = Catalogue(
        _ids(dataset),
        index.static,
        index.trend,
        scorer.item_side(),
        index.rows,
        popular[: int(dataset.eligible(cut).sum())],
    )
    return Recommender(config, Models(vectors.model, scorer.ranker, index.searcher, vectors.encoded.fitted), catalogue)


def _ids(dataset: Dataset) -> list[str]:
    return [str(item) for item in dataset.tables.items["item"]]


def _segments(dataset: Dataset, best: Any) -> list[str]:
    """Segment values in the order of the rows of a segment popularity's shares."""
    if not isinstance(best, SegmentPopularity):
        return []
    return sorted(set(dataset.tables.queries[dataset.config.data.segment].astype(str)))


def _write(dataset: Dataset, module: tf.Module, folder: Path) -> None:
    tf.saved_model.save(module, str(folder), signatures=module.signatures())
    (folder / "fingerprint.pb").unlink(missing_ok=True)  # differs between equal models
    (folder / STATE).parent.mkdir(parents=True, exist_ok=True)
    items = dataset.tables.items
    titles = zip(items["item"].astype(str), items["title"].astype(str), strict=True)
    write_state(folder / STATE, titles, _query_states(dataset))


def _query_states(dataset: Dataset) -> Iterator[tuple[str, QueryState]]:
    """Features and whole history of every query, as of the end of the log."""
    sequences, ids = dataset.sequences, np.array(_ids(dataset), object)
    columns = columns_of(dataset.tables.queries, dataset.config.on("queries"))
    for row, query in enumerate(dataset.tables.queries["query"].astype(str)):
        part = slice(sequences.starts[row], sequences.starts[row + 1])
        features = {name: _plain(column[row]) for name, column in columns.items()}
        yield query, QueryState(features, ids[sequences.item[part]].tolist(), sequences.time[part].tolist())


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def _kind(module: Recommender) -> str:
    return module.searcher.kind


def _facts(dataset: Dataset, module: Any, folder: Path) -> dict[str, Any]:
    """What the manifest says whichever policy the bundle serves."""
    log, cuts = dataset.log, dataset.cuts
    return {
        "name": dataset.config.name,
        "twinspire": VERSION,
        "tensorflow": tf.__version__,
        "searcher": module.searcher.kind if isinstance(module, Recommender) else "exact",
        "config": dataset.config.model_dump(mode="json"),
        "data": {"start": int(log.time[0]), "end": int(log.time[-1]), "events": len(log)},
        "fit": {"until": cuts.test, "clock": dataset.config.data.events.time is not None},
        "meaning": dataset.config.data.events.meaning,
        "items": dataset.n_items,
        "defaults": _defaults(dataset),
        "signatures": signature_table(folder),
    }


def _defaults(dataset: Dataset) -> dict[str, float]:
    """Means of the query table's numbers: what an unknown query is taken to have."""
    numbers = (feature for feature in dataset.config.on("queries") if feature.kind == "number")
    return {feature.name: float(dataset.tables.queries[feature.name].mean()) for feature in numbers}


def _parts(inputs: Mapping[str, Path]) -> dict[str, str]:
    """Which stage results the bundle was made of: their content keys."""
    return {name: digest(path.resolve().name)[:12] for name, path in inputs.items()}

"""The export stage: the SavedModel, what serving needs beside it, a sealed manifest, and the replay check."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from configs.schema import Config
from configs.version import VERSION
from pipelines.baselines.popularity import SegmentPopularity
from pipelines.baselines.stage import chosen_popularity
from pipelines.dataset import Dataset, filters_of, load_dataset
from pipelines.encoded import columns_of
from pipelines.index.item_index import refreshed
from pipelines.likes import likes_of
from pipelines.progress import Progress
from pipelines.replay import replay, replay_verdicts, write_golden
from pipelines.served import item_ids, load_parts, recommender_at
from pipelines.stage import Inputs
from pipelines.verdicts import as_json, load_verdicts, passed
from serving.bundle import STATE, seal
from serving.compaction import index_facts
from serving.filters import filter_values
from serving.popularity import PopularityRecommender
from serving.recommender import Recommender
from serving.runtime import signature_table
from serving.state import QueryState, write_state
from towers.backend import tf

BUNDLE = "bundle"


def export(config: Config, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Replay the judged model, then write the bundle: the same model over an index as of the end of the log.

    What is judged stands at the test cut. What is published knows the items, trends and popularity of today: a refresh
    of the index changes no weight and no choice.
    """
    dataset = load_dataset(config, inputs["prepare"])
    parts = load_parts(dataset, inputs)
    judged = out / "judged"
    _save(recommender_at(dataset, parts, dataset.cuts.test, parts.index), judged)
    agreement = replay(dataset, inputs, judged, parts.index.searcher.kind)
    shutil.rmtree(judged)
    (out / "replay.json").write_text(json.dumps(agreement) + "\n")
    progress.say(
        f"replay of {agreement['requests']} requests: {agreement['python']:.2%} of ids agree in Python, "
        f"{agreement['c_loader']:.2%} through the C loader"
    )
    verdicts = [
        *load_verdicts(inputs["gate"] / "verdicts.json"),
        *load_verdicts(inputs["rank"] / "verdicts.json"),
        *replay_verdicts(agreement),
    ]
    fresh = refreshed(parts.index, dataset, parts.vectors, dataset.cuts.end)
    module = recommender_at(dataset, parts, dataset.cuts.end, fresh)
    folder = out / BUNDLE
    _write(dataset, module, folder)
    write_golden(dataset, folder, module.searcher.kind)
    facts = _facts(dataset, module, folder) | {
        "index": index_facts(module.searcher),
        "policy": "model",
        "parts": {name: path.resolve().name for name, path in inputs.items()},
        "verdicts": [as_json(verdict) for verdict in verdicts],
        "publishable": passed(verdicts),
    }
    seal(folder, facts)


def export_popularity(config: Config, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Write a bundle of the best popularity (chosen on validation, counted to the end of the log)."""
    dataset = load_dataset(config, inputs["prepare"])
    best = chosen_popularity(dataset, inputs["baselines"])
    best.fit(dataset.log, dataset.n_queries, dataset.n_items, dataset.cuts.end.moment)
    scores = best.table()
    scores = np.where(dataset.eligible(dataset.cuts.end) & (scores[-1] > 0), scores, -np.inf)
    likes = likes_of(dataset, dataset.cuts.end)
    segments, filters = _segments(dataset, best), filters_of(dataset)
    module = PopularityRecommender(config, item_ids(dataset), scores, segments, likes, filters)
    folder = out / BUNDLE
    _write(dataset, module, folder)
    write_golden(dataset, folder, "exact")
    seal(folder, _facts(dataset, module, folder) | {"policy": best.name, "publishable": True, "verdicts": []})
    progress.say(f"popularity bundle: {best.name}")


def _segments(dataset: Dataset, best: Any) -> list[str]:
    """Segment values in the order of the rows of a segment popularity's shares."""
    if not isinstance(best, SegmentPopularity):
        return []
    return sorted(set(dataset.tables.queries[dataset.config.data.segment].astype(str)) - {""})


def _save(module: tf.Module, folder: Path) -> None:
    tf.saved_model.save(module, str(folder), signatures=module.signatures())
    (folder / "fingerprint.pb").unlink(missing_ok=True)  # differs between equal models


def _write(dataset: Dataset, module: tf.Module, folder: Path) -> None:
    _save(module, folder)
    (folder / STATE).parent.mkdir(parents=True, exist_ok=True)
    items = dataset.tables.items
    titles = zip(items["item"].astype(str), items["title"].astype(str), strict=True)
    write_state(folder / STATE, titles, _query_states(dataset), likes_of(dataset, dataset.cuts.end).names)


def _query_states(dataset: Dataset) -> Iterator[tuple[str, QueryState]]:
    """Features and whole history of every query, as of the end of the log."""
    sequences, ids = dataset.sequences, np.array(item_ids(dataset), object)
    columns = columns_of(dataset.tables.queries, dataset.config.on("queries"))
    for row, query in enumerate(dataset.tables.queries["query"].astype(str)):
        part = slice(sequences.starts[row], sequences.starts[row + 1])
        features = {name: _plain(column[row]) for name, column in columns.items()}
        yield query, QueryState(features, ids[sequences.item[part]].tolist(), sequences.time[part].tolist())


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


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
        "fit": {
            "until": cuts.test.moment,
            "index_as_of": cuts.end.moment,
            "clock": dataset.config.data.events.time is not None,
        },
        "meaning": dataset.config.data.events.meaning,
        "items": dataset.n_items,
        "filters": {name: filter_values(texts) for name, texts in filters_of(dataset).items()},
        "defaults": _defaults(dataset),
        "signatures": signature_table(folder),
    }


def _defaults(dataset: Dataset) -> dict[str, float]:
    """Means of the numbers that describe a request: what one is taken to have that does not say."""
    queries, context = dataset.tables.queries, dataset.log.context
    features = {name: [f for f in dataset.config.on(name) if f.kind == "number"] for name in ("queries", "events")}
    return {feature.name: float(queries[feature.name].mean()) for feature in features["queries"]} | {
        feature.name: float(np.mean(context[feature.name])) for feature in features["events"]
    }

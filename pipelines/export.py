"""The export stage: the SavedModel, what serving needs beside it, a sealed manifest, and the replay check."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from configs.schema import Config
from configs.version import VERSION
from pipelines.baselines.popularity import Popularity, SegmentPopularity
from pipelines.baselines.stage import chosen_popularity
from pipelines.dataset import Dataset, load_dataset
from pipelines.encoded import columns_of
from pipelines.index import ItemIndex, load_index, refreshed
from pipelines.lists import RankScorer
from pipelines.progress import Progress
from pipelines.rank import load_ranker
from pipelines.replay import replay, replay_verdicts, write_golden
from pipelines.split import Cut
from pipelines.stage import Inputs
from pipelines.train import REFITTED, load_towers
from pipelines.vectors import Vectors
from pipelines.verdicts import as_json, load_verdicts, passed
from serving.bundle import STATE, seal
from serving.popularity import PopularityRecommender
from serving.recommender import Catalogue, Models, Recommender
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
    parts = _parts_of(dataset, inputs)
    judged = out / "judged"
    _save(_recommender(dataset, parts, dataset.cuts.test, parts.index), judged)
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
    module = _recommender(dataset, parts, dataset.cuts.end, fresh)
    folder = out / BUNDLE
    _write(dataset, module, folder)
    write_golden(dataset, folder, module.searcher.kind)
    facts = _facts(dataset, module, folder) | {
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
    module = PopularityRecommender(config, _ids(dataset), scores, _segments(dataset, best))
    folder = out / BUNDLE
    _write(dataset, module, folder)
    write_golden(dataset, folder, "exact")
    seal(folder, _facts(dataset, module, folder) | {"policy": best.name, "publishable": True, "verdicts": []})
    progress.say(f"popularity bundle: {best.name}")


@dataclass(frozen=True)
class _Parts:
    """The fitted parts of a run, loaded once."""

    vectors: Vectors
    scorer: RankScorer
    index: ItemIndex
    popularity: Popularity | SegmentPopularity  # fills short lists


def _parts_of(dataset: Dataset, inputs: Inputs) -> _Parts:
    vectors = load_towers(dataset, inputs["train"], REFITTED, dataset.cuts.test)
    scorer = load_ranker(dataset, vectors.encoded, inputs["rank"])
    popularity = chosen_popularity(dataset, inputs["baselines"])
    return _Parts(vectors, scorer, load_index(inputs["index"]), popularity)


def _recommender(dataset: Dataset, parts: _Parts, cut: Cut, index: ItemIndex) -> Recommender:
    """The graph over an index as of `cut`."""
    eligible = dataset.eligible(cut)
    parts.popularity.fit(dataset.past(cut), dataset.n_queries, dataset.n_items, cut.moment)
    overall = parts.popularity.table()[-1]
    popular = np.argsort(-np.where(eligible, overall, -1.0), kind="stable")[: int(eligible.sum())]
    side = parts.scorer.item_side()
    catalogue = Catalogue(_ids(dataset), index.static, index.trend, side, index.rows, popular)
    fitted = parts.vectors.encoded.fitted
    models = Models(parts.vectors.model, parts.scorer.ranker, index.searcher, fitted)
    return Recommender(dataset.config, models, catalogue)


def _ids(dataset: Dataset) -> list[str]:
    return [str(item) for item in dataset.tables.items["item"]]


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

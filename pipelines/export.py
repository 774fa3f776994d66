"""The export stage: the SavedModel, what serving needs beside it, a sealed manifest, and the replay check.

A model that is searched by ScaNN is exported a second time, with core TensorFlow operations alone.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from configs.schema import Config
from configs.version import VERSION
from pipelines.baselines.popularity import Popularity, SegmentPopularity
from pipelines.baselines.stage import chosen_popularity
from pipelines.dataset import Dataset, filters_of, load_dataset
from pipelines.index.item_index import ItemIndex, refreshed
from pipelines.index.overlap import overlap_by_row
from pipelines.index.record import IndexTuning, load_core_tuning, load_index_tuning
from pipelines.likes import likes_of, read_likes
from pipelines.offline import Offline, answered, judged
from pipelines.popular import popular_lists
from pipelines.progress import Progress
from pipelines.publish import BUNDLE, CORE, core_name
from pipelines.query_states import query_states
from pipelines.replay import c_session, replay, replay_in_c, replay_verdicts, write_golden
from pipelines.served import Parts, item_ids, load_parts, recommender_at
from pipelines.stage import Inputs
from pipelines.verdicts import CORE_RECALL, Verdict, as_json, level_verdict, load_verdicts, passed
from serving.compaction import index_facts
from serving.computed import COMPUTED, write_moments
from serving.filters import filter_values
from serving.likes import Likes
from serving.manifest import seal, seal_id
from serving.popular import POPULAR, write_popular
from serving.popularity import PopularityRecommender
from serving.recommender import Recommender
from serving.runtime import signature_table
from serving.searchers import Exact
from serving.state import STATE, write_state
from towers.backend import tf
from towers.features import Statistics, statistics

_VALUES = 1000  # that a manifest names of one feature: more are for programs


def export(config: Config, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Replay the judged model, then write the bundle: the same model over an index as of the end of the log.

    What is judged stands at the test cut. What is published knows the items, trends and popularity of today: a refresh
    of the index changes no weight and no choice.
    """
    dataset = load_dataset(config, inputs["prepare"])
    parts = load_parts(dataset, inputs)
    graph = out / "judged"
    _save(recommender_at(dataset, parts, dataset.cuts.test, parts.index), graph)
    agreement = replay(dataset, judged(dataset, inputs), graph, parts.index.searcher.kind)
    shutil.rmtree(graph)
    (out / "replay.json").write_text(json.dumps(agreement) + "\n")
    progress.say(
        f"replay of {agreement['requests']} requests: {agreement['python']:.2%} of ids agree in Python, "
        f"{agreement['c_loader']:.2%} through the C loader"
    )
    write_bundles(dataset, inputs, parts, replay_verdicts(agreement), out, progress)


def write_bundles(
    dataset: Dataset, inputs: Inputs, parts: Parts, verdicts: Sequence[Verdict], out: Path, progress: Progress
) -> None:
    """Write the bundle, with the verdicts on its replay, and a second one where the index has a second searcher."""
    fresh = refreshed(parts.index, dataset, parts.vectors, dataset.cuts.end)
    module = recommender_at(dataset, parts, dataset.cuts.end, fresh)
    folder = out / BUNDLE
    _write(dataset, module, parts.popularity, read_likes(dataset, dataset.cuts.end), folder)
    write_moments(folder, np.full(dataset.n_items, int(time.time())))
    with c_session(folder, module.searcher.kind) as session:
        write_golden(dataset, folder, session)
    facts = _facts(dataset, module, folder, parts.vectors.encoded.fitted) | _of_model(inputs, module, verdicts)
    facts |= {"tuned": _tuned(load_index_tuning(inputs["index"]))}
    seal(folder, facts | ({"core_export": core_name(facts["name"])} if parts.core else {}))
    if parts.core is not None:
        core = refreshed(parts.core, dataset, parts.vectors, dataset.cuts.end)
        _export_core(dataset, inputs, parts, core, answered(dataset, parts, fresh), out, progress)


def _export_core(
    dataset: Dataset, inputs: Inputs, parts: Parts, index: ItemIndex, first: Offline, out: Path, progress: Progress
) -> None:
    """Write the second bundle, of core operations; first: what is answered from the index of the first one.

    It is the written graph itself that is replayed, against lists of its own searcher; and where that may miss items,
    what it finds is held against exact search, as the gate holds what the first one finds.
    """
    module = recommender_at(dataset, parts, dataset.cuts.end, index)
    folder = out / CORE
    _save(module, folder)
    (folder / STATE).parent.mkdir(parents=True, exist_ok=True)
    for same in (STATE, COMPUTED, POPULAR):
        shutil.copyfile(out / BUNDLE / same, folder / same)
    found = answered(dataset, parts, index)
    with c_session(folder, index.searcher.kind) as session:
        write_golden(dataset, folder, session)
        agreement = replay_in_c(dataset, found, session)
    shared = overlap_by_row(found.candidates, first.candidates).mean()
    (out / "replay-core.json").write_text(json.dumps(agreement | {"shared": float(shared)}) + "\n")
    progress.say(
        f"core operations alone, {index.searcher.kind}: {agreement['c_loader']:.2%} of ids agree through the C loader; "
        f"it finds {shared:.2%} of the candidates that {parts.index.searcher.kind} finds"
    )
    verdicts = replay_verdicts(agreement, ", core operations")
    if index.searcher.effort is not None:
        items = parts.vectors.items_at(dataset, dataset.cuts.end)[index.rows]
        exact = answered(dataset, parts, replace(index, searcher=Exact.build(items)))
        recall, floor = overlap_by_row(found.candidates, exact.candidates), dataset.config.gate.floors.searcher_recall
        verdicts.append(level_verdict("candidates", CORE_RECALL, recall, floor))
    facts = _facts(dataset, module, folder, parts.vectors.encoded.fitted) | _of_model(inputs, module, verdicts)
    tuning = load_core_tuning(inputs["index"])
    facts |= {"tuned": tuning and _tuned(tuning)}
    facts |= {"name": core_name(facts["name"]), "core_of": {"name": facts["name"], "id": seal_id(out / BUNDLE)}}
    seal(folder, facts)


def _of_model(inputs: Inputs, module: Recommender, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """What the manifest says of a model beside what it says of any policy; verdicts: those on the export."""
    stages = (load_verdicts(inputs[stage] / "verdicts.json") for stage in ("gate", "rank"))
    every = [*chain.from_iterable(stages), *verdicts]
    return {
        "policy": "model",
        "index": index_facts(module.searcher),
        "parts": {name: path.resolve().name for name, path in inputs.items()},
        "verdicts": [as_json(verdict) for verdict in every],
        "publishable": passed(every),
    }


def _tuned(tuning: IndexTuning) -> dict[str, Any]:
    """What tuning measured of the searcher: recall at k against exact search, on held-out queries, with its lower 95 %
    bound, and the median time of a search for one; none where every item is scored."""
    found, chosen = tuning.held_out, tuning.trials[tuning.chosen] if tuning.trials else None
    return {
        "k": tuning.k,
        "recall": float(found.mean) if found.n else None,
        "low": float(found.low) if found.n else None,
        "queries": found.n,
        "microseconds": chosen and chosen.microseconds,
    }


def export_popularity(config: Config, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Write a bundle of the best popularity (chosen on validation, counted to the end of the log)."""
    dataset = load_dataset(config, inputs["prepare"])
    best = chosen_popularity(dataset, inputs["baselines"])
    best.fit(dataset.log, dataset.n_queries, dataset.n_items, dataset.cuts.end.moment)
    scores = best.table()
    scores = np.where(dataset.eligible(dataset.cuts.end) & (scores[-1] > 0), scores, -np.inf)
    likes = likes_of(dataset, dataset.cuts.end)
    segments = dataset.segments if isinstance(best, SegmentPopularity) else []
    filters = filters_of(dataset)
    module = PopularityRecommender(config, item_ids(dataset), scores, segments, likes, filters)
    folder = out / BUNDLE
    _write(dataset, module, best, likes, folder)
    with c_session(folder, "exact") as session:
        write_golden(dataset, folder, session)
    categories = [feature for feature in config.on("queries") if feature.kind in ("category", "multi_category")]
    known = statistics(categories, {one.name: dataset.tables.queries[one.name].to_numpy() for one in categories})
    seal(folder, _facts(dataset, module, folder, known) | {"policy": best.name, "publishable": True, "verdicts": []})
    progress.say(f"popularity bundle: {best.name}")


def _save(module: tf.Module, folder: Path) -> None:
    tf.saved_model.save(module, str(folder), signatures=module.signatures())
    (folder / "fingerprint.pb").unlink(missing_ok=True)  # differs between equal models


def _write(
    dataset: Dataset, module: tf.Module, popularity: Popularity | SegmentPopularity, likes: Likes, folder: Path
) -> None:
    _save(module, folder)
    (folder / STATE).parent.mkdir(parents=True, exist_ok=True)
    items = dataset.tables.items
    titles = zip(items["item"].astype(str), items["title"].astype(str), strict=True)
    write_state(folder / STATE, titles, query_states(dataset.config, dataset.tables), likes.names)
    write_popular(folder / POPULAR, popular_lists(dataset, popularity))


def _facts(dataset: Dataset, module: Any, folder: Path, fitted: Statistics) -> dict[str, Any]:
    """What the manifest says whichever policy the bundle serves; fitted: what it knows of features."""
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
        "values": _values(dataset.config, fitted),
        "signatures": signature_table(folder),
    }


def _values(config: Config, fitted: Statistics) -> dict[str, list[str]]:
    """Values by category feature of a request, in order of the alphabet: who asks need not know them by heart."""
    return {
        feature.name: list(fitted[feature.name]["vocabulary"][:_VALUES])
        for feature in (*config.on("queries"), *config.on("events"))
        if feature.kind in ("category", "multi_category") and feature.name in fitted
    }


def _defaults(dataset: Dataset) -> dict[str, float]:
    """Means of the numbers that describe a request: what one is taken to have that does not say."""
    queries, context = dataset.tables.queries, dataset.log.context
    features = {name: [f for f in dataset.config.on(name) if f.kind == "number"] for name in ("queries", "events")}
    return {feature.name: float(queries[feature.name].mean()) for feature in features["queries"]} | {
        feature.name: float(np.mean(context[feature.name])) for feature in features["events"]
    }

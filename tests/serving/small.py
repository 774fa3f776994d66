"""A tiny recommender with every kind of feature, random weights, and a catalogue with odd ids."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from configs.load import parse
from configs.schema import Config
from serving.compaction import index_facts
from serving.computed import write_moments
from serving.filters import filter_values
from serving.golden import write_golden
from serving.likes import Likes
from serving.manifest import seal
from serving.mixing import Mixing
from serving.popular import EVERYONE, POPULAR, Popular, PopularItem, write_popular
from serving.popularity import PopularityRecommender
from serving.recommender import Catalogue, Models, Recommender
from serving.runtime import signature_table
from serving.searchers import Searcher, build_searcher, sharded_layout
from serving.state import STATE, QueryState, write_state
from towers.backend import tf
from towers.features import Preprocess, Statistics, encode, statistics
from towers.ranker import Ranker
from towers.retrieval import TwoTower

LENGTH = 5  # of histories
ITEMS = 150
TRENDS = 2
END = 1_700_000_000  # end of the data that the bundle knows
ODD_IDS = ["it's", 'a "b"', "日本", "line\nbreak", "50%; --", " ", "NaN", "-1"]
IDS = [*ODD_IDS, *(f"i{row}" for row in range(len(ODD_IDS), ITEMS))]
UNINDEXED = set(range(4, ITEMS, 10))  # not to be recommended
COUNTRIES = ["at", "be", "ch"]

CONFIG: dict[str, Any] = {
    "name": "small",
    "data": {
        "source": "tables",
        "path": "nowhere",
        "events": {"path": "e.csv", "query": "user", "item": "item", "time": "time", "meaning": "took it"},
        "items": {"id": "item", "filters": ["stock", "region"]},
        "queries": {"id": "user"},
        "segment": "country",
    },
    "features": [
        {"name": "item_id", "table": "items", "kind": "id", "dimension": 8},
        {"name": "genre", "table": "items", "kind": "category", "dimension": 4},
        {"name": "tags", "table": "items", "kind": "multi_category", "dimension": 4},
        {"name": "price", "table": "items", "kind": "number", "log": True},
        {"name": "text", "table": "items", "kind": "text", "words": 50, "length": 6, "dimension": 4},
        {"name": "image", "table": "items", "kind": "vector", "width": 3, "dimension": 4},
        {"name": "user", "table": "queries", "kind": "id", "dimension": 8},
        {"name": "country", "table": "queries", "kind": "category", "dimension": 4},
        {"name": "age", "table": "queries", "kind": "number", "missing": 30.0},
        {"name": "device", "table": "events", "kind": "category", "dimension": 4},
        {"name": "battery", "table": "events", "kind": "number", "missing": 0.5},
        {"name": "mood", "table": "events", "kind": "vector", "width": 2, "dimension": 4},
        {"name": "clock", "table": "events", "kind": "time"},
        {"name": "departure", "table": "events", "kind": "time", "column": "departs_at"},
    ],
    "towers": {"embedding_dim": 8, "hidden": [8], "history": {"length": LENGTH, "layers": 1, "heads": 2}},
    "gate": {"k": 20},
    "index": {"candidates": 30},
    "ranker": {"hidden": [8], "cross_layers": 1},
    "rerank": {"relevance": 0.6, "pool": 20},
}

FILTERS = {  # one value each; none to three of them
    "stock": ["yes" if row % 3 else "no" for row in range(ITEMS)],
    "region": ["|".join(name for bit, name in enumerate(COUNTRIES) if row * 5 % 8 >> bit & 1) for row in range(ITEMS)],
}

Arrays = dict[str, np.ndarray]


def strings(values: Any) -> np.ndarray:
    return np.array(values, object)


def padded(lists: Sequence[Sequence[str]]) -> np.ndarray:
    """Lists of ids as [B, longest], padded with ""."""
    width = max(map(len, lists), default=0)
    return strings([[*ids, *[""] * (width - len(ids))] for ids in lists]).reshape(len(lists), width)


def inputs_of(
    histories: Sequence[Sequence[str]],
    k: int | Sequence[int] = 10,
    exclude: Sequence[Sequence[str]] | None = None,
    seed: int = 0,
    **changed: np.ndarray,
) -> Arrays:
    """Raw inputs of `recommend` for one request per history, with random features and times."""
    rng = np.random.default_rng(seed)
    rows, history = len(histories), padded(histories)
    return {
        "user": strings([f"u{user}" for user in rng.integers(0, 12, rows)]),
        "country": strings(rng.choice([*COUNTRIES, "", "zz"], rows)),
        "age": rng.uniform(10, 80, rows).astype(np.float32),
        "device": strings(rng.choice(["phone", "tv", "fridge"], rows)),
        "battery": rng.uniform(0, 1, rows).astype(np.float32),
        "mood": rng.normal(size=(rows, 2)).astype(np.float32),
        "departure": END + rng.integers(0, 10**6, rows),
        "time": END + rng.integers(0, 10**6, rows),
        "history": history,
        "history_time": END - np.sort(rng.integers(0, 10**6, history.shape), axis=1)[:, ::-1],
        "likes": padded([[]] * rows),
        "exclude": padded(exclude or [[]] * rows),
        **no_filters(rows),
        "k": np.broadcast_to(np.int32(k), rows).copy(),
        "relevance": np.full(rows, -1, np.float32),  # as configured
        **changed,
    }


def no_filters(rows: int) -> Arrays:
    """Inputs of so many requests that ask for no filter."""
    return {f"filter_{name}": padded([[]] * rows) for name in FILTERS}


def retrieving(inputs: Arrays) -> Arrays:
    """The same request as `retrieve` takes it, which reranks nothing."""
    return {name: value for name, value in inputs.items() if name != "relevance"}


def limits(k: int) -> Arrays:
    """What may be in one request's list of k, as all but `recommend` take it: anything."""
    return {"exclude": padded([[]]), "k": np.array([k], np.int32), **no_filters(1)}


def one(inputs: Arrays, row: int) -> Arrays:
    """The request in one row of a batch, as a batch of its own."""
    return {name: value[row : row + 1] for name, value in inputs.items()}


def lists(answer: Arrays) -> list[list[str]]:
    """Item ids of an answer, each list cut to its count."""
    return [
        [item.decode() for item in row[:count]] for row, count in zip(answer["items"], answer["count"], strict=True)
    ]


@dataclass(frozen=True)
class Small:
    config: Config
    fitted: Statistics
    items: Arrays  # raw columns
    towers: TwoTower
    ranker: Ranker
    catalogue: Catalogue
    module: Any

    @cached_property
    def signatures(self) -> dict[str, Callable]:
        return self.module.signatures()

    def call(self, signature: str, inputs: Mapping[str, np.ndarray]) -> Arrays:
        """Answer of a signature, which takes what it knows of the inputs."""
        function = self.signatures[signature]
        names = function.structured_input_signature[0] or function.structured_input_signature[1].values()
        specs = {spec.name: spec for spec in names}
        values = [tf.constant(inputs[name], spec.dtype) for name, spec in specs.items()]
        return {name: value.numpy() for name, value in function(*values).items()}


def tables(rng: np.random.Generator) -> tuple[Arrays, Arrays, Arrays]:
    """Raw columns of items, queries and events."""
    items = {
        "item_id": strings(IDS),
        "genre": strings(rng.choice(["drama", "comedy", ""], ITEMS)),
        "tags": strings(rng.choice(["a|b", "b", "", "c|a|b"], ITEMS)),
        "price": rng.uniform(0, 100, ITEMS).astype(np.float32),
        "text": strings(rng.choice(["a big one", "小さな赤い靴。", "nothing at all", ""], ITEMS)),
        "image": rng.normal(size=(ITEMS, 3)).astype(np.float32),
    }
    queries = {
        "user": strings([f"u{user}" for user in range(10)]),
        "country": strings(rng.choice(COUNTRIES, 10)),
        "age": rng.uniform(10, 80, 10).astype(np.float32),
    }
    events = {
        "device": strings(["phone", "tv", "phone"]),
        "battery": np.array([0.1, 0.5, 0.9], np.float32),
        "mood": np.zeros((3, 2), np.float32),
        "clock": np.zeros(3, np.int64),
        "departure": np.zeros(3, np.int64),
    }
    return items, queries, events


def build(
    searcher: str = "exact", seed: int = 0, mixing: Mixing | None = None, shards: int = 1, **towers_config: Any
) -> Small:
    """A recommender with random weights and other keys of [towers]; 135 of its 150 items are indexed, in an order of
    their own, in so many shards."""
    rng = np.random.default_rng(seed)
    config = parse(CONFIG | {"towers": CONFIG["towers"] | towers_config})
    items, queries, events = tables(rng)
    fitted: dict[str, Any] = {}
    for table, columns in (("items", items), ("queries", queries), ("events", events)):
        fitted |= statistics(config.on(table), columns)
    encoded = encode(Preprocess(config.on("items"), fitted), items)
    towers, ranker = TwoTower(config, fitted, encoded, TRENDS), Ranker(config, fitted)
    _build_weights(config, fitted, towers, ranker, rng)
    static = towers.item_vectors().numpy()
    trend = rng.normal(size=(ITEMS, TRENDS)).astype(np.float32)
    mixed = np.random.default_rng(seed + 1).normal(size=(ITEMS, mixing.columns if mixing else 0)).astype(np.float32)
    indexed = rng.permutation([row for row in range(ITEMS) if row not in UNINDEXED])
    catalogue = Catalogue(
        ids=IDS,
        static=static,
        trend=trend,
        ranker=ranker.item_vectors(encoded).numpy(),
        indexed=indexed,
        popular=rng.permutation(indexed),
        likes=likes_of(items),
        mixed=mixed,
        newcomer=np.random.default_rng(seed + 2).normal(size=TRENDS + mixed.shape[1]).astype(np.float32),
        filters=FILTERS,
    )
    layout = sharded_layout(searcher, len(indexed), shards)
    found: Searcher = build_searcher(searcher, np.concatenate([static, trend, mixed], axis=1)[indexed], layout)
    module = Recommender(config, Models(towers, ranker, found, fitted, mixing), catalogue)
    return Small(config, fitted, items, towers, ranker, catalogue, module)


def liked_values(items: Arrays) -> list[set[str]]:
    """What can be liked of each item."""
    rows = zip(items["genre"], items["tags"], strict=True)
    return [{f"genre={genre}"} - {"genre="} | {f"tags={tag}" for tag in tags.split("|") if tag} for genre, tags in rows]


def likes_of(items: Arrays) -> Likes:
    values = liked_values(items)
    names = sorted(set().union(*values))
    width = max(map(len, values))
    rows = [[names.index(value) for value in sorted(one)] for one in values]
    return Likes(names, np.array([[*row, *[-1] * (width - len(row))] for row in rows], np.int32))


def _build_weights(
    config: Config, fitted: Statistics, towers: TwoTower, ranker: Ranker, rng: np.random.Generator
) -> None:
    towers.item_vectors()
    item = ranker.item_vectors(towers._catalogue)
    batch = batch_of(config, fitted, inputs_of([["i20"]]))
    history = np.zeros((1, LENGTH), np.int32)
    towers.query_vectors(batch, towers.history_tokens(history, tf.gather(towers.item_vectors(), history)))
    ranker.score(batch, tf.gather(item, history), item[None, :4], tf.zeros([1, 4, TRENDS]), tf.zeros([1, 4]))
    for weight in (*towers.trainable_variables, *ranker.trainable_variables):  # some start at zero
        weight.assign(rng.normal(size=weight.shape, scale=0.5).astype(np.float32))


def batch_of(config: Config, fitted: Statistics, inputs: Arrays) -> dict[str, tf.Tensor]:
    """What the towers read of raw requests, worked out row by row in Python."""
    rows = {item: row for row, item in enumerate(IDS)}
    item, mask, time = [], [], []
    for ids, times, now in zip(inputs["history"], inputs["history_time"], inputs["time"], strict=True):
        known = [(rows[i], t) for i, t in zip(ids, times, strict=True) if i in rows][-LENGTH:]
        gap = LENGTH - len(known)
        item.append([0] * gap + [row for row, _ in known])
        mask.append([False] * gap + [True] * len(known))
        time.append([now] * gap + [t for _, t in known])
    batch = {"item": tf.constant(item), "mask": tf.constant(mask), "item_time": tf.constant(time, tf.int64)}
    batch["moment"] = tf.concat([batch["item_time"], inputs["time"][:, None]], axis=1)
    for prefix, table in (("static", "queries"), ("context", "events")):
        columns = {f.name: inputs["time" if f.name == "clock" else f.name] for f in config.on(table)}
        encoded = encode(Preprocess(config.on(table), fitted), columns)
        batch |= {f"{prefix}/{name}": tf.constant(value) for name, value in encoded.items()}
    return batch


def build_popularity(seen_items: str = "filter") -> PopularityRecommender:
    """Popularity by country, "at" to "ch"; the scores of each are some order of the catalogue."""
    likes = likes_of(tables(np.random.default_rng(0))[0])
    return PopularityRecommender(seeing(seen_items), IDS, popularity_scores(), COUNTRIES, likes, FILTERS)


def seeing(seen_items: str) -> Config:
    """The config with another `data.seen_items`."""
    return parse(CONFIG | {"data": CONFIG["data"] | {"seen_items": seen_items}})


def popularity_scores() -> np.ndarray:
    """[countries and overall, ITEMS]."""
    rng = np.random.default_rng(5)
    return np.stack([rng.permutation(ITEMS) for _ in range(len(COUNTRIES) + 1)]).astype(np.float64)


QUERIES = {
    "u1": QueryState({"user": "u1", "country": "at", "age": 20.0}, ["i20", "i21", "it's"], [END - 9, END - 5, END - 1]),
    "u2": QueryState({"user": "u2", "country": "zz", "age": 70.0}, [], []),
}
TITLES = {item: f"Title of {item}" for item in IDS if item != "i30"}


def popular_lists() -> Popular:
    """Lists of everyone and of Austria, of items that may be shown."""
    ids = [item for row, item in enumerate(IDS) if row not in UNINDEXED][:60]
    filters = {name: [filter_values([text]) for text in texts] for name, texts in FILTERS.items()}
    items = {
        item: PopularItem(TITLES.get(item, item), {name: filters[name][IDS.index(item)] for name in filters})
        for item in ids
    }
    return Popular("country", items, {EVERYONE: ids, "at": ids[::-1][:20]})


def export(small: Small, folder: Path, **facts: Any) -> Path:
    """Write a sealed bundle as the export stage does; `facts` override what its manifest says."""
    kind = small.module.searcher.kind if isinstance(small.module, Recommender) else "exact"
    tf.saved_model.save(small.module, str(folder), signatures=small.signatures)
    (folder / "fingerprint.pb").unlink(missing_ok=True)
    (folder / STATE).parent.mkdir(parents=True, exist_ok=True)
    write_state(folder / STATE, TITLES.items(), QUERIES.items(), small.catalogue.likes.names)
    write_popular(folder / POPULAR, popular_lists())
    if isinstance(small.module, Recommender):
        write_moments(folder, np.full(ITEMS, END))
    record(small, folder)
    seal(folder, bundle_facts(small, folder, searcher=kind) | facts)
    return folder


def record(small: Small, folder: Path) -> None:
    """Write one golden request."""
    inputs = inputs_of([["i20", "i21"]], k=5)
    write_golden(folder, [(inputs, small.call("recommend", inputs))])


def bundle_facts(small: Small, folder: Path, searcher: str) -> dict[str, Any]:
    own = {"index": index_facts(small.module.searcher)} if isinstance(small.module, Recommender) else {}
    return own | {
        "name": "small",
        "policy": "model" if isinstance(small.module, Recommender) else "popularity",
        "searcher": searcher,
        "config": small.config.model_dump(mode="json"),
        "data": {"start": END - 10**7, "end": END, "events": 1000},
        "items": ITEMS,
        "signatures": signature_table(folder),
        "publishable": True,
        "defaults": {},
        "values": {name: small.fitted[name]["vocabulary"] for name in ("country", "device")} if own else {},
        "filters": {name: filter_values(texts) for name, texts in FILTERS.items()},
        "verdicts": [],
    }


def copy(bundle: Path, folder: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(bundle, folder))

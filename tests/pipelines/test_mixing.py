"""Segment popularity as columns: by hand, without a future, learned where it helps, and the same when served."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipelines.baselines.popularity import Popularity
from pipelines.dataset import Dataset
from pipelines.fit_mixing import WEIGHTS, Tried, _Askers, choose, fit_mixing
from pipelines.index.item_index import ItemIndex
from pipelines.mixing import Mixed, columns_of, largest_segments, load_mixing, save_mixing, segment_popularity
from pipelines.progress import Progress
from pipelines.rank import new_ranker
from pipelines.replay import raw_inputs
from pipelines.served import Parts, recommender_at
from pipelines.tables import Interactions, Requests
from pipelines.train import new_towers
from pipelines.vectors import Vectors
from serving.mixing import Mixing
from serving.searchers import build_searcher
from tests import world
from tests.pipelines.baselines.worlds import events
from tests.world import DAY, START
from towers.backend import tf

QUIET = Progress(quiet=True)
SOME = np.array([[2, 1, 0.5, 0, 0], [1, 1, 0, 0, 0]], np.float32)


def test_by_hand():
    log = events([(0, 0, 1), (0, 0, 2, 3.0), (1, 0, 3), (1, 1, 4), (2, 1, 5, 2.0)])
    found = segment_popularity(log, np.array([0, 1, 2]), columns=3, items=3)  # of query 2 no segment is known
    overall = np.log(np.array([5.5, 3.5, 0.5]) / 9.5 * 3)
    lift = [np.log(np.array([24, 20, 20]) / (4 / 8 * np.array([5, 3, 0]) + 20))]
    lift += [np.log(np.array([21, 21, 20]) / (2 / 8 * np.array([5, 3, 0]) + 20))]
    np.testing.assert_allclose(found, np.stack([overall + lift[0], overall + lift[1], overall], axis=1), rtol=1e-5)


def test_nothing_counted_is_nothing_known():
    found = segment_popularity(events([]), np.array([0, 1]), columns=3, items=4)
    np.testing.assert_array_equal(found, np.zeros((4, 3)))


def _dataset(changes: dict | None = None) -> Dataset:
    queries = world.queries()
    queries["region"] = [("north", "south", "east", "")[min(q % 8, 3)] for q in range(world.QUERIES)]
    return world.dataset(world.config(changes), world.log(), queries=queries)


def test_the_largest_segments_have_columns_and_others_share_the_last():
    data = _dataset({"mixing.segments": 2})
    counts = {
        name: sum(data.tables.queries["region"].to_numpy()[data.past(data.cuts.validation).query] == name)
        for name in ("north", "south", "east")
    }
    largest = sorted(counts, key=lambda name: -counts[name])[:2]
    assert list(largest_segments(data, data.cuts.validation)) == largest
    expected = [largest.index(name) if name in largest else 2 for name in data.tables.queries["region"]]
    assert columns_of(data, largest).tolist() == expected
    assert largest_segments(_dataset({"mixing.segments": 0}), data.cuts.validation) == ()
    assert largest_segments(_dataset({"data.segment": None}), data.cuts.validation) == ()
    assert not columns_of(data, ()).any()


@pytest.mark.parametrize("window", [None, 20 * DAY])
@pytest.mark.parametrize("name", ["validation", "ranker", "test"])
def test_permuting_the_future_leaves_the_columns_unchanged(window, name):
    data, rng = _dataset(), np.random.default_rng(1)
    cut, log = getattr(data.cuts, name), data.log
    past = len(log.before(cut.moment))
    order = np.concatenate([np.arange(past), past + rng.permutation(len(log) - past)])
    other = Interactions(log.query[order], log.item[order[::-1]], log.time, 9 * log.weight, log.context)
    other.query[:past], other.item[:past], other.weight[:past] = log.query[:past], log.item[:past], log.weight[:past]
    changed = replace(data, tables=replace(data.tables, interactions=other))
    segments = largest_segments(data, data.cuts.validation)
    assert largest_segments(changed, data.cuts.validation) == segments
    today, leaked = (Mixed.of(one, cut, Mixing(segments, SOME), window) for one in (data, changed))
    np.testing.assert_array_equal(leaked.items, today.items)
    end = data.cuts.end
    assert (today.at(data, end).items != today.at(changed, end).items).any()


def test_a_mixing_is_read_as_written_and_none_where_nothing_is_mixed_in(tmp_path):
    data = _dataset()
    save_mixing(tmp_path, Mixing(("south", "north"), SOME), 7 * DAY, [])
    found = load_mixing(data, tmp_path, data.cuts.test)
    assert (found.mixing.segments, found.window) == (("south", "north"), 7 * DAY)
    np.testing.assert_array_equal(found.mixing.weights, SOME)
    np.testing.assert_array_equal(found.items, Mixed.of(data, data.cuts.test, found.mixing, 7 * DAY).items)
    save_mixing(tmp_path, Mixing(("south", "north"), 0 * SOME), None, [])
    assert load_mixing(data, tmp_path, data.cuts.test) is None


# --- what is learned ----------------------------------------------------------------------------------------


def _tried(gains: list[list[float]], n: int = 200, noise: float = 0.0, ndcg: float = 0.0, seed: int = 0) -> Tried:
    """Recall that each weight but the first adds in each bucket, as given."""
    rng = np.random.default_rng(seed)
    bucket = np.repeat(np.arange(5), n)
    recall = np.concatenate([np.zeros((1, 5)), np.array(gains).T])[:, bucket] + 0.5
    return Tried(
        bucket, recall + noise * rng.normal(size=recall.shape), 0.1 + ndcg * np.arange(5)[:, None] + 0 * recall
    )


NONE = [0.0] * 4


def test_each_length_takes_what_is_best_for_it_and_never_less_than_a_longer_one():
    rising = [[0.01, 0.02, 0.03, 0.04], [0.01, 0.02, 0.03, 0.0], [0.0, 0.02, 0.0, 0.0], [0.02, 0.0, 0.0, 0.0], NONE]
    assert choose(_tried(rising)).tolist() == [4, 3, 2, 1, 0]
    assert choose(_tried([NONE, NONE, [0.0, 0.1, 0.0, 0.0], NONE, NONE])).tolist() == [2, 2, 2, 0, 0]


def test_what_does_not_help_for_sure_is_not_mixed_in():
    assert choose(_tried([[-0.1] * 4] * 5)).tolist() == [0] * 5
    assert choose(_tried([[0.1] * 4] * 5, n=49)).tolist() == [0] * 5
    assert choose(_tried([[0.1] * 4] * 5, ndcg=-0.01)).tolist() == [0] * 5
    assert choose(_tried([[0.1] * 4] * 5)).tolist() == [1] * 5


def test_noise_is_seldom_taken_for_help():
    mixed_in = sum(choose(_tried([NONE] * 5, noise=1.0, seed=seed)).any() for seed in range(20))
    assert mixed_in <= 5  # five lengths at 95 % each, and half of the errors are to the wrong side


def test_a_weight_that_hurts_shorter_histories_is_not_forced_on_them():
    assert choose(_tried([[-0.2] * 4, NONE, NONE, NONE, [0.1] * 4])).tolist() == [0] * 5


TASTE, BLOCK, REGULARS = 20, 14, 100  # items that a region takes; items of a block, and queries that come back
BLOCKS = 20


class _Stub:
    """Stands in for towers: it knows whose block of items a regular goes on with, and nothing of newcomers."""

    items = np.concatenate([np.zeros((2 * TASTE, BLOCKS)), np.repeat(np.eye(BLOCKS), BLOCK, axis=0)]).astype(np.float32)

    def of(self, requests: Requests) -> np.ndarray:
        last = requests.history.last(1, fill=-1)[:, 0]
        return 5 * np.eye(BLOCKS, dtype=np.float32)[(last - 2 * TASTE) // BLOCK] * (last >= 0)[:, None]


def _opposites(segment: str | None = "region", reversed_later: bool = False) -> Dataset:
    """Regulars take items of a block each; every newcomer takes two items that are popular in the region, and with
    `reversed_later` all that the other one likes once the validation window is over."""
    rng, rows, count = np.random.default_rng(0), [], REGULARS + 800
    for query in range(REGULARS):
        own = 2 * TASTE + query % BLOCKS * BLOCK + rng.permutation(BLOCK)
        rows += [(query, item, day) for item, day in zip(own, [*range(12), 81, 82], strict=True)]
    popular = 1 / np.arange(1, TASTE + 1)
    for query in range(REGULARS, count):
        day = 80 * (query % 4 > 1) + rng.random()
        taken = TASTE * (query % 2) + rng.choice(TASTE, 2, replace=False, p=popular / popular.sum())
        rows += [(query, item, day) for item in taken]
    rows += [(0, 0, 100), (1, 1, 110)]  # the windows after validation
    if reversed_later:
        rows += [(q, TASTE * (1 - q % 2) + item, 96) for q in range(REGULARS, count) for item in range(TASTE)]
    ids = [f"i{row}" for row in range(2 * TASTE + BLOCKS * BLOCK)]
    items = pd.DataFrame({"item": ids, "available_from": pd.array([pd.NA] * len(ids), "Int64")})
    names = [f"q{query}" for query in range(count)]
    queries = pd.DataFrame({"query": names, "region": [("north", "south")[query % 2] for query in range(count)]})
    days = [pd.Timestamp(START + day * DAY, unit="s", tz="UTC").isoformat() for day in (79, 95, 105)]
    split = dict(zip(("validation", "ranker", "test"), days, strict=True))
    shallow = {"gate": {"k": 10, "list_k": 5}, "index.candidates": 10, "rerank.pool": 5, "trend.windows": ["1d", "90d"]}
    log = events([(query, item, int(START + day * DAY)) for query, item, day in rows])
    return world.dataset(world.config({"split": split, "data.segment": segment} | shallow), log, items, queries)


@pytest.mark.parametrize("segment", ["region", None])
def test_newcomers_get_what_their_segment_takes_and_regulars_what_the_towers_know(tmp_path, segment):
    data = _opposites(segment)
    fit_mixing(data, _Stub(), tmp_path, QUIET)
    mixed = load_mixing(data, tmp_path, data.cuts.validation)
    known, unknown = mixed.mixing.weights
    assert known[0] > 0 if segment else not known.any()
    assert unknown[0] > 0
    assert not mixed.mixing.weights[:, 4].any()
    learned = {
        (one["segment"], one["history"]): one for one in json.loads((tmp_path / "mixing.json").read_text())["learned"]
    }
    assert learned["segment unknown", "0"]["recall"]["difference"]["low"] > 0
    if segment:
        both = (learned[f"segment {whose}", "0"]["recall"]["difference"]["mean"] for whose in ("known", "unknown"))
        assert next(both) > next(both) + 0.1
        north, south = (mixed.mixing.segments.index(name) for name in ("north", "south"))
        assert (mixed.items[:TASTE, north] > mixed.items[:TASTE, south]).all()
        assert (mixed.items[TASTE : 2 * TASTE, north] < mixed.items[TASTE : 2 * TASTE, south]).all()
    assert set(mixed.mixing.weights.ravel()) <= set(WEIGHTS)


def test_what_follows_the_validation_window_teaches_nothing(tmp_path):
    learned = []
    for name, data in (("plain", _opposites()), ("other", _opposites(reversed_later=True))):
        (tmp_path / name).mkdir()
        fit_mixing(data, _Stub(), tmp_path / name, QUIET)
        learned.append((tmp_path / name / "mixing.json").read_text())
    assert learned[0] == learned[1]


def test_a_window_without_newcomers_and_towers_that_know_everything_mix_nothing_in(tmp_path):
    data = _dataset()
    assert not len(data.newcomers)
    block = np.eye(world.BLOCKS, dtype=np.float32)[np.arange(world.ITEMS) % world.BLOCKS]

    class Knows:
        items = block

        def of(self, requests: Requests) -> np.ndarray:
            return 100 * np.eye(world.BLOCKS, dtype=np.float32)[requests.query % world.BLOCKS]

    fit_mixing(data, Knows(), tmp_path, QUIET)
    assert load_mixing(data, tmp_path, data.cuts.test) is None


@pytest.mark.parametrize("windows", [["1d", "7d", "30d"], ["30d", "1d", "7d"]])
def test_all_windows_but_the_shortest_are_tried_in_whatever_order_they_are_named(windows, tmp_path, monkeypatch):
    tried, really = [], _Askers.tried
    monkeypatch.setattr(_Askers, "tried", lambda self, segments, window: tried.append(window) or really(self, (), None))
    data = _dataset({"trend.windows": windows})
    fit_mixing(data, _Constant(data.n_items), tmp_path, QUIET)
    assert tried == [None, 7 * DAY, 30 * DAY]


class _Constant:
    """Stands in for towers that know nothing."""

    def __init__(self, items: int) -> None:
        self.items = np.ones((items, 1), np.float32)

    def of(self, requests: Requests) -> np.ndarray:
        return np.ones((len(requests), 1), np.float32)


def test_switched_off_nothing_is_tried(tmp_path):
    data = _dataset({"mixing.learn": False})
    fit_mixing(data, None, tmp_path, QUIET)
    assert load_mixing(data, tmp_path, data.cuts.test) is None


# --- served -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("several", [1, 2])
def test_the_graph_scores_as_the_offline_vectors_do(several):
    data = _dataset({"mixing.segments": 2, "towers.query_vectors": several})
    cut, encoded = data.cuts.test, world.encoded(data)
    mixed = Mixed.of(data, cut, Mixing(largest_segments(data, data.cuts.validation), SOME), None)
    vectors = Vectors(data.config, new_towers(data, encoded), encoded, data.trend_at(cut), mixed)
    searcher = build_searcher("exact", vectors.items)
    index = ItemIndex(searcher, np.arange(data.n_items), vectors.static, vectors.trend)
    module = recommender_at(data, Parts(vectors, new_ranker(data, encoded), index, Popularity()), cut, index)
    requests = data.requests(data.cuts.validation, data.cuts.end)
    short = requests.history.last(3, fill=-1)  # of all lengths
    lengths = np.arange(len(requests)) % 4
    kept = np.flatnonzero((np.arange(3) >= 3 - lengths[:, None]).ravel())
    row = kept // 3
    history = type(requests.history).from_rows(row, short.ravel()[kept], len(requests))
    times = type(history).from_rows(row, requests.history_time.last(3, fill=0).ravel()[kept], len(requests))
    requests = replace(requests, history=history, history_time=times)
    raw = {name: tf.constant(value) for name, value in raw_inputs(data, requests, 10).items()}
    found = module.embed_user(raw)["vector"].numpy()
    offline = vectors.of(requests)
    np.testing.assert_allclose(found, offline, rtol=1e-4, atol=1e-5)
    parts = offline.reshape(len(requests), several, -1)[:, :, -mixed.mixing.columns :]
    assert len(np.unique(parts.sum(axis=2))) == 3  # 2, 1 and 0.5: every length and kind of segment is among them
    np.testing.assert_array_equal(vectors.items_at(data, cut), vectors.items)
    ids = data.tables.items["item"].to_numpy()
    best = np.argsort(-vectors.score(requests), axis=1)
    lists = [[i for i in row if i not in set(history[r])][:10] for r, row in enumerate(best)]
    assert [[item.decode() for item in row] for row in module.retrieve(raw)["items"].numpy()] == ids[lists].tolist()

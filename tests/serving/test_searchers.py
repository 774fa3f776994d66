"""One contract, run against every searcher."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from serving.searchers import (
    Exact,
    Ivf,
    Scann,
    Searcher,
    build_searcher,
    load_searcher,
    save_searcher,
    search,
    sharded_layout,
)
from serving.searchers.base import IN_PLACE
from serving.searchers.scann import Effort, Layout
from towers.backend import tf, traced


class Tree(Scann):
    """ScaNN behind a tree, as it is from 100,000 items on."""

    @classmethod
    def build(cls, vectors: np.ndarray, layout: Layout | None = None) -> Scann:
        layout = layout or Layout.of(len(vectors))
        return super().build(vectors, replace(layout, leaves=20) if layout.dims else layout)


class Shards:
    """ScaNN in three parts, or in as many as there are items."""

    kind = "scann"

    @classmethod
    def build(cls, vectors: np.ndarray, layout: Any = None) -> Searcher:
        return build_searcher(cls.kind, vectors, layout or sharded_layout(cls.kind, len(vectors), 3))


class IvfShards(Shards):
    kind = "ivf"


class Leaves(Tree):
    """The same without codes: every item of a leaf is scored exactly."""

    @classmethod
    def build(cls, vectors: np.ndarray, layout: Layout | None = None) -> Scann:
        return super().build(vectors, layout or replace(Layout.of(len(vectors)), leaves=min(20, len(vectors)), dims=0))


SEARCHERS = [Exact, Scann, Tree, Leaves, Ivf, Shards, IvfShards]


def _world(items: int, queries: int = 7, width: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(items, width)).astype(np.float32)
    return vectors, rng.normal(size=(queries, width)).astype(np.float32)


def _thorough(searcher):
    """The searcher at the highest of its efforts for all of its items."""
    ladders = searcher.efforts(searcher.size)
    searcher.effort = ladders[-1][-1] if ladders else None
    return searcher


def _search(searcher, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    scores, rows = searcher.search(tf.constant(queries), tf.constant(k))
    return scores.numpy(), rows.numpy()


def _brute_force(vectors: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    return np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, :k]


@pytest.mark.parametrize("kind", SEARCHERS)
@pytest.mark.parametrize("items", [120, 3000])
@pytest.mark.parametrize("width", [12, 13])
def test_finds_what_brute_force_finds_with_its_scores(kind, items, width):
    vectors, queries = _world(items, width=width)
    # noise without clusters is the hardest case for quantisation
    scores, rows = _search(_thorough(kind.build(vectors)), queries, 10)
    expected = _brute_force(vectors, queries, 10)
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(rows, expected, strict=True)])
    assert recall == 1
    assert np.all(np.diff(scores, axis=1) <= 1e-6)
    np.testing.assert_allclose(scores, np.take_along_axis(queries @ vectors.T, rows, axis=1), rtol=1e-4)


@pytest.mark.parametrize("kind", SEARCHERS)
@pytest.mark.parametrize("items", [1, 5, 130])
def test_asking_for_more_than_there_is_ends_in_nothing(kind, items):
    vectors, queries = _world(items)
    scores, rows = _search(kind.build(vectors), queries, items + 4)
    assert rows.shape == scores.shape == (7, items + 4)
    assert (rows[:, items:] == -1).all()
    assert np.isneginf(scores[:, items:]).all()
    assert all(sorted(row[:items]) == list(range(items)) for row in rows)


@pytest.mark.parametrize("kind", SEARCHERS)
def test_duplicates_and_zero_vectors_are_each_found_once(kind):
    vectors, queries = _world(150)
    vectors[10:20] = vectors[0]
    vectors[30:40] = 0
    _, rows = _search(kind.build(vectors), queries, 150)
    assert all(sorted(row) == list(range(150)) for row in rows)


@pytest.mark.parametrize("kind", SEARCHERS)
def test_an_empty_batch_of_queries(kind):
    vectors, queries = _world(200)
    scores, rows = _search(kind.build(vectors), queries[:0], 10)
    assert scores.shape == rows.shape == (0, 10)


@pytest.mark.parametrize("kind", SEARCHERS)
def test_what_was_given_back_is_made_again_by_the_next_search(kind):
    vectors, queries = _world(200)
    searcher = _thorough(kind.build(vectors))
    searcher.release()  # nothing was searched yet
    for _ in range(2):
        np.testing.assert_array_equal(_search(searcher, queries, 10)[1], _brute_force(vectors, queries, 10))
        searcher.release()


@pytest.mark.parametrize("kind", SEARCHERS)
def test_saved_and_loaded_it_answers_the_same(kind, tmp_path):
    vectors, queries = _world(500)
    searcher = kind.build(vectors)
    save_searcher(searcher, tmp_path / "searcher.npz")
    loaded = load_searcher(tmp_path / "searcher.npz")
    for before, after in zip(_search(searcher, queries, 20), _search(loaded, queries, 20), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("kind", SEARCHERS)
def test_the_exported_graph_answers_the_same(kind, tmp_path):
    vectors, queries = _world(500)
    searcher = kind.build(vectors)

    class Served(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.searcher = searcher

        @traced(input_signature=[tf.TensorSpec([None, 12]), tf.TensorSpec([], tf.int32)])
        def __call__(self, queries, k):
            return self.searcher.search(queries, k)

    tf.saved_model.save(Served(), str(tmp_path))
    scores, rows = tf.saved_model.load(str(tmp_path))(tf.constant(queries), tf.constant(15))
    expected_scores, expected_rows = _search(searcher, queries, 15)
    np.testing.assert_array_equal(rows.numpy(), expected_rows)
    np.testing.assert_allclose(scores.numpy(), expected_scores, rtol=1e-6)


@pytest.mark.parametrize("kind", SEARCHERS)
@pytest.mark.parametrize("k", [1, 20, 134])
def test_several_vectors_find_each_item_once_by_its_best_score(kind, k):
    vectors, queries = _world(130, queries=21)
    queries = queries.reshape(7, 3, 12)
    vectors[10:20] = vectors[0]
    searcher = _thorough(kind.build(vectors))
    scores, rows = (part.numpy() for part in search(searcher, tf.constant(queries), tf.constant(k)))
    table = np.pad((queries @ vectors.T).max(axis=1), [(0, 0), (0, 4)], constant_values=-np.inf)
    np.testing.assert_allclose(scores, -np.sort(-table, axis=1)[:, :k], rtol=1e-4)
    np.testing.assert_allclose(scores, np.take_along_axis(table, rows, axis=1), rtol=1e-4)  # row -1 is one of the last
    assert all(len(set(row[row >= 0])) == min(k, 130) for row in rows)


def test_an_empty_batch_of_several_vectors():
    scores, rows = search(Exact.build(_world(20)[0]), tf.zeros([0, 2, 12]), tf.constant(5))
    assert scores.shape == rows.shape == (0, 5)


@pytest.mark.parametrize("kind", [Scann, Tree, Leaves, Ivf])
def test_along_a_ladder_recall_rises_to_exactness(kind):
    vectors, queries = _world(6000, queries=50, width=32)  # of fewer, an inverted file scores all
    searcher, expected = kind.build(vectors), _brute_force(vectors, queries, 50)
    recalls = []
    for effort in searcher.efforts(50)[-1]:
        searcher.effort = effort
        _, rows = _search(searcher, queries, 50)
        recalls.append(np.mean([len(set(a) & set(b)) / 50 for a, b in zip(rows, expected, strict=True)]))
    assert recalls == sorted(recalls)
    assert recalls[0] < 0.99
    assert recalls[-1] >= 0.999


@pytest.mark.parametrize("kind", SEARCHERS)
def test_what_a_search_costs_rises_with_what_is_asked_for_up_to_all_items(kind):
    searcher = kind.build(_world(3000)[0])
    costs = searcher.cost(tf.constant([1, 100, 1000, 3000, 10_000])).numpy()
    assert costs.shape == (5,)
    assert (costs > 0).all()
    assert (np.diff(costs) >= 0).all()
    assert costs[3] == costs[4] <= 2 * 3000  # codes of all, and as many vectors copied
    if kind is Ivf:
        assert costs[3] <= (3000 + searcher.layout.leaves) / IN_PLACE + 1  # beyond that, all are scored where they lie


@pytest.mark.parametrize("kind", SEARCHERS)
def test_a_query_is_answered_the_same_in_any_batch(kind):
    vectors, queries = _world(2000, queries=30)
    searcher = kind.build(vectors)
    _, together = _search(searcher, queries, 20)
    alone = np.concatenate([_search(searcher, query[None], 20)[1] for query in queries])
    # the tree's k-means leaves twins among its centres; which of these two leaves is searched, rounding decides
    twins = 0.1 if kind in (Tree, Leaves) else 0
    assert np.mean((alone != together).any(axis=1)) <= twins


@pytest.mark.parametrize("kind", SEARCHERS)
def test_what_tuning_set_is_saved(kind, tmp_path):
    vectors, _ = _world(300)
    layouts = kind.build(vectors).layouts()
    searcher = kind.build(vectors, layouts[-1] if layouts else None)
    searcher.effort = next((ladder[0] for ladder in searcher.efforts(10)), None)
    save_searcher(searcher, tmp_path / "searcher.npz")
    loaded = load_searcher(tmp_path / "searcher.npz")
    assert (loaded.layout, loaded.effort, loaded.nbytes) == (searcher.layout, searcher.effort, searcher.nbytes)


def test_more_than_the_searched_leaves_hold_is_found_behind_a_tree():
    vectors, queries = _world(2000)
    searcher = Scann.build(vectors, replace(Layout.of(2000), leaves=40))
    searcher.effort = Effort(leaves=1, reorder=10)
    for k in (500, 2000):
        assert (_search(searcher, queries, k)[1] >= 0).all()


def test_auto_is_exact_for_small_catalogues():
    assert build_searcher("auto", _world(50)[0]).kind == "exact"


@pytest.mark.parametrize("kind", ["scann", "ivf"])
@pytest.mark.parametrize("items", [2, 9, 10, 400])
def test_shards_are_as_many_as_asked_for_or_one_an_item(kind, items):
    searcher = build_searcher(kind, _world(items)[0], sharded_layout(kind, items, 4))
    assert searcher.layout.shards == min(4, items)
    assert [shard.size for shard in searcher.shards] == np.diff(searcher.starts.numpy(), append=items).tolist()
    assert searcher.size == items


@pytest.mark.parametrize("kind", ["scann", "ivf"])
def test_one_item_is_no_shards(kind, tmp_path):
    vectors, queries = _world(1)
    searcher = build_searcher(kind, vectors, sharded_layout(kind, 1, 4))
    save_searcher(searcher, tmp_path / "searcher.npz")
    assert (_search(load_searcher(tmp_path / "searcher.npz"), queries, 2)[1] == [0, -1]).all()


def test_a_file_from_before_there_were_shards_is_read(tmp_path):
    vectors, queries = _world(300)
    searcher = Ivf.build(vectors)
    np.savez(tmp_path / "searcher.npz", kind="ivf", **searcher.arrays)
    loaded = load_searcher(tmp_path / "searcher.npz")
    np.testing.assert_array_equal(_search(loaded, queries, 9)[1], _search(searcher, queries, 9)[1])


def test_what_is_saved_is_not_copied():
    for kind in SEARCHERS:
        searcher = kind.build(_world(200)[0])
        largest = [max(searcher.arrays.values(), key=lambda array: array.nbytes) for _ in range(2)]
        assert np.shares_memory(*largest), kind


@pytest.mark.parametrize("kind", SEARCHERS)
def test_an_array_is_read_from_its_file_once_and_when_it_is_wanted(kind, tmp_path, monkeypatch):
    save_searcher(kind.build(_world(200)[0]), tmp_path / "searcher.npz")
    read, get = [], np.lib.npyio.NpzFile.__getitem__
    monkeypatch.setattr(np.lib.npyio.NpzFile, "__getitem__", lambda file, name: read.append(name) or get(file, name))
    load_searcher(tmp_path / "searcher.npz")
    large = [name for name in read if name.rsplit("/")[-1] in ("vectors", "dataset", "hashed_dataset")]
    assert large
    assert len(large) == len(set(large))

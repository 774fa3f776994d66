"""One contract, run against every searcher."""

import numpy as np
import pytest

from serving.searchers import Exact, Scann, build_searcher, load_searcher
from towers.backend import tf

SEARCHERS = [Exact, Scann]


def _world(items: int, queries: int = 7, width: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(items, width)).astype(np.float32)
    return vectors, rng.normal(size=(queries, width)).astype(np.float32)


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
    searcher = kind.build(vectors)
    searcher.reorder = 200  # noise without clusters is the hardest case for quantisation
    scores, rows = _search(searcher, queries, 10)
    expected = _brute_force(vectors, queries, 10)
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(rows, expected, strict=True)])
    assert recall >= (1.0 if kind is Exact else 0.9)
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
def test_saved_and_loaded_it_answers_the_same(kind, tmp_path):
    vectors, queries = _world(500)
    searcher = kind.build(vectors)
    searcher.save(tmp_path / "searcher.npz")
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

        @tf.function(input_signature=[tf.TensorSpec([None, 12]), tf.TensorSpec([], tf.int32)])
        def __call__(self, queries, k):
            return self.searcher.search(queries, k)

    tf.saved_model.save(Served(), str(tmp_path))
    scores, rows = tf.saved_model.load(str(tmp_path))(tf.constant(queries), tf.constant(15))
    expected_scores, expected_rows = _search(searcher, queries, 15)
    np.testing.assert_array_equal(rows.numpy(), expected_rows)
    np.testing.assert_allclose(scores.numpy(), expected_scores, rtol=1e-6)


def test_more_reordering_finds_more():
    vectors, queries = _world(3000, queries=50, width=32)
    searcher, expected = Scann.build(vectors), _brute_force(vectors, queries, 50)
    recalls = []
    for reorder in (100, 300, 3000):
        searcher.reorder = reorder
        _, rows = _search(searcher, queries, 50)
        recalls.append(np.mean([len(set(a) & set(b)) / 50 for a, b in zip(rows, expected, strict=True)]))
    assert recalls[0] < recalls[1] < recalls[2] == 1.0


def test_auto_is_exact_for_small_catalogues():
    assert build_searcher("auto", _world(50)[0]).kind == "exact"

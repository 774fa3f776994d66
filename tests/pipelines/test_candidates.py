"""Retrieval through a searcher against exact ranking of the whole catalogue."""

import numpy as np
import pytest

from pipelines import candidates
from pipelines.candidates import retrieve, search
from pipelines.evaluation.ranking import rank
from pipelines.tables import Ragged, Requests
from serving.searchers import Exact

ITEMS, WIDTH = 40, 5


def _world(lengths, seed=0):
    rng = np.random.default_rng(seed)
    rows = len(lengths)
    starts = np.append(0, np.cumsum(lengths)).astype(np.int64)
    seen = np.concatenate([rng.permutation(ITEMS)[:n] for n in lengths] or [[]]).astype(np.int32)
    nothing = Ragged(np.zeros(rows + 1, np.int64), np.zeros(0, np.int32))
    zero = np.zeros(rows, np.int64)
    requests = Requests(zero.astype(np.int32), zero, Ragged(starts, seen), Ragged(starts, seen.astype(int)), nothing)
    vectors = rng.normal(size=(ITEMS, WIDTH)).astype(np.float32)
    return vectors, rng.normal(size=(rows, WIDTH)).astype(np.float32), requests


def _both(vectors, queries, requests, eligible, k, filter_seen=True):
    indexed = np.flatnonzero(eligible)
    found = retrieve(Exact.build(vectors[indexed]), indexed, queries, requests, k, filter_seen)

    served = iter(np.split(queries, np.arange(7, len(queries), 7)))
    exact = rank(lambda part: next(served) @ vectors.T, requests, k, eligible, filter_seen, block=7)
    return found, exact


@pytest.mark.parametrize("filter_seen", [True, False])
@pytest.mark.parametrize("block", [512, 3])
def test_retrieval_with_exact_search_is_exact_ranking(monkeypatch, block, filter_seen):
    monkeypatch.setattr(candidates, "_BLOCK", block)
    lengths = [0, 12, 3, 39, 1, 25, 0, 7, 40, 2, 30]
    eligible = np.random.default_rng(1).random(ITEMS) < 0.8
    found, exact = _both(*_world(lengths), eligible, 6, filter_seen)
    np.testing.assert_array_equal(found.items, exact.items)
    np.testing.assert_allclose(found.scores, exact.scores, rtol=1e-4)
    assert found.source == "exact"


@pytest.mark.parametrize("k", [1, 6, ITEMS + 5])
def test_several_vectors_of_a_request_retrieve_by_the_best(monkeypatch, k):
    monkeypatch.setattr(candidates, "_BLOCK", 4)
    vectors, _, requests = _world([0, 12, 3, 39, 1, 25])
    queries = np.random.default_rng(3).normal(size=(6, 3, WIDTH)).astype(np.float32)
    eligible = np.random.default_rng(1).random(ITEMS) < 0.8
    indexed = np.flatnonzero(eligible)
    found = retrieve(Exact.build(vectors[indexed]), indexed, queries, requests, k)
    table = np.max([queries[:, one] @ vectors.T for one in range(3)], axis=0)
    served = iter([table])
    exact = rank(lambda part: next(served), requests, k, eligible)
    np.testing.assert_array_equal(found.items, exact.items)
    np.testing.assert_allclose(found.scores, exact.scores, rtol=1e-4)


def test_lists_end_in_nothing_where_too_little_is_unseen():
    vectors, queries, requests = _world([38, 40, 0])
    found, _ = _both(vectors, queries, requests, np.ones(ITEMS, bool), k=5)
    unseen = set(range(ITEMS)) - set(requests.history[0].tolist())
    assert set(found.items[0, :2].tolist()) == unseen
    assert found.items[0, 2:].tolist() == [-1] * 3
    assert found.items[1].tolist() == [-1] * 5
    assert np.isneginf(found.scores[found.items < 0]).all()
    assert (found.items[2] >= 0).all()


def test_more_candidates_may_be_asked_for_than_there_are_items():
    vectors, queries, requests = _world([0, 3])
    found, _ = _both(vectors, queries, requests, np.ones(ITEMS, bool), k=ITEMS + 5)
    assert (found.items >= 0).sum(axis=1).tolist() == [ITEMS, ITEMS - 3]


def test_places_are_translated_to_rows_of_the_catalogue():
    vectors = np.array([[1.0], [2.0], [3.0]], np.float32)
    _, _, requests = _world([0])
    found = retrieve(Exact.build(vectors), np.array([30, 10, 20]), np.ones((1, 1), np.float32), requests, 3)
    assert found.items.tolist() == [[20, 10, 30]]


def test_a_seen_item_is_dropped_however_often_it_was_seen():
    _, _, requests = _world([2])
    history = Ragged(requests.history.starts, np.array([1, 1], np.int32))
    again = Requests(requests.query, requests.time, history, requests.history_time, requests.targets)
    vectors = np.array([[1.0], [2.0], [3.0]], np.float32)
    found = retrieve(Exact.build(vectors), np.arange(3), np.ones((1, 1), np.float32), again, 3)
    assert found.items.tolist() == [[2, 0, -1]]


def test_search_in_blocks_is_search_at_once(monkeypatch):
    vectors, queries, _ = _world([0] * 10)
    searcher = Exact.build(vectors)
    whole = search(searcher, queries, 4)
    monkeypatch.setattr(candidates, "_BLOCK", 3)
    for part, other in zip(whole, search(searcher, queries, 4), strict=True):
        np.testing.assert_allclose(part, other, rtol=1e-5)

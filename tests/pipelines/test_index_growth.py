"""How fast a search grows with what filters make it ask for: as fast as keeps recall, and no faster."""

from dataclasses import replace

import numpy as np
import pytest

from pipelines.candidates import search
from pipelines.index.filtered import recall_under_filters
from pipelines.index.growth import KEPT, fit_growth
from pipelines.index.overlap import overlap_by_row
from pipelines.index.truth import best_rows
from serving.searchers import Exact, build_searcher, load_searcher, save_searcher
from serving.searchers.base import GROWTH

ITEMS, QUERIES, K = 40_000, 200, 20


def _world(clusters):
    """Unit vectors in tight clusters, and queries in their midst: beyond its own cluster a query likes all alike."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((clusters, 16))
    vectors = centres[rng.integers(0, clusters, ITEMS + QUERIES)] + 0.3 * rng.standard_normal((ITEMS + QUERIES, 16))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return vectors[:ITEMS], vectors[ITEMS:]


def _under_a_tenth(searcher, vectors, queries):
    texts = np.where(np.random.default_rng(1).random(len(vectors)) < 0.1, "left", "")
    return recall_under_filters(searcher, vectors, {"tenth": texts}, queries, K)[0].recall


def test_a_search_for_a_tenth_keeps_recall_where_clusters_end(tmp_path):
    vectors, queries = _world(clusters=1_000)
    searcher = build_searcher("ivf", vectors)
    searcher.effort = replace(searcher.effort, leaves=4, k=K)
    truth = best_rows(queries[1::2], vectors, K)
    plain = overlap_by_row(search(searcher, queries[1::2], K)[1], truth).mean()
    before = _under_a_tenth(searcher, vectors, queries[1::2])
    fit_growth(searcher, vectors, queries[::2], K)
    assert before < plain - 0.03
    assert _under_a_tenth(searcher, vectors, queries[1::2]) >= plain - KEPT - 0.01
    assert searcher.effort.growth > GROWTH
    save_searcher(searcher, tmp_path / "searcher.npz")
    assert load_searcher(tmp_path / "searcher.npz").effort == searcher.effort


def test_growth_stays_where_recall_does():
    vectors, queries = _world(clusters=8)
    searcher = build_searcher("ivf", vectors)
    fit_growth(searcher, vectors, queries, K)
    assert searcher.effort.growth == GROWTH


@pytest.mark.parametrize("items", [50, 5_000])
def test_a_searcher_without_leaves_has_nothing_to_fit(items):
    vectors, queries = _world(clusters=8)
    for searcher in (Exact.build(vectors[:items]), build_searcher("scann", vectors[:items])):
        effort = searcher.effort
        fit_growth(searcher, vectors[:items], queries, K)
        assert searcher.effort == effort

"""What exact search would find, in blocks."""

import tracemalloc

import numpy as np
import pytest

from pipelines.index.truth import best_rows


@pytest.mark.parametrize("several", [0, 3])
@pytest.mark.parametrize("among", [None, [3], [5, 2, 90, 41, 7, 30]])
@pytest.mark.parametrize(("queries", "k"), [(5, 4), (9, 1), (0, 4), (5, 200)])
def test_it_is_what_sorting_all_scores_gives(monkeypatch, several, among, queries, k):
    monkeypatch.setattr("pipelines.index.truth._QUERIES", 4)
    monkeypatch.setattr("pipelines.index.truth._ITEMS", 13)
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((100, 6), np.float32)
    asked = rng.standard_normal((queries, *([several] if several else []), 6), np.float32)
    scores = asked @ vectors.T
    scores = scores.max(axis=1) if several else scores
    allowed = np.arange(100) if among is None else np.array(among)
    expected = allowed[np.argsort(-scores[:, allowed], axis=1)][:, :k]
    expected = np.pad(expected, [(0, 0), (0, k - expected.shape[1])], constant_values=-1)
    found = best_rows(asked, vectors, k, None if among is None else allowed)
    np.testing.assert_array_equal(found, expected)


def test_memory_does_not_grow_with_the_items():
    rng = np.random.default_rng(0)
    vectors, queries = rng.standard_normal((1_000_000, 4), np.float32), np.ones((300, 4), np.float32)
    vectors[7] = 9
    for level in (1, 0):  # with all scores but one the same too
        vectors[8:] *= level
        tracemalloc.start()
        assert (best_rows(queries, vectors, 1) == 7).all()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 300e6  # all scores are 1.2 GB

"""Diversity, novelty, serendipity and freshness, by hand and against loops."""

import math
import tracemalloc
from itertools import combinations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from pipelines.evaluation import variety
from pipelines.evaluation.metrics import per_request
from pipelines.evaluation.variety import (
    ItemFacts,
    age,
    category_diversity,
    embedding_diversity,
    entry_times,
    fresh_share,
    novelty,
    per_list,
    query_share,
    serendipity,
)
from pipelines.tables import Candidates, Ragged, Requests
from tests.pipelines.baselines.worlds import events

DAY = 86_400


def ragged(rows: list[list[int]]) -> Ragged:
    row = np.repeat(np.arange(len(rows)), [len(values) for values in rows])
    return Ragged.from_rows(row, np.array([i for r in rows for i in r], np.int32), len(rows))


def lists(rows: list[list[int]]) -> np.ndarray:
    return np.array(rows, np.int32)


def candidates(rows: list[list[int]]) -> Candidates:
    items = lists(rows)
    return Candidates(items, np.zeros(items.shape, np.float32), "test")


def requests(targets: list[list[int]], time: list[int]) -> Requests:
    nothing = ragged([[]] * len(targets))
    return Requests(np.arange(len(targets)), np.array(time, np.int64), nothing, nothing, ragged(targets))


def equal(found: np.ndarray, expected: list[float]) -> None:
    np.testing.assert_allclose(found, expected, atol=1e-12)


# Items 0 to 5: {0, 1}, {1}, {2}, unknown, {0, 1} and {1, 2, 3}.
CATEGORIES = ragged([[0, 1], [1], [2], [], [1, 0], [1, 2, 3]])


def test_category_diversity():
    found = category_diversity(
        lists(
            [
                [0, 1, -1],  # 1 of 2 categories shared
                [0, 2, -1],  # none shared
                [0, 4, -1],  # the same two
                [0, 1, 2],  # distances 1/2, 1 and 1
                [0, 3, 1],  # the unknown one is left out
                [0, 3, -1],  # and here leaves only one
                [-1, -1, -1],
                [5, 0, 1],  # distances 3/4, 2/3 and 1/2
            ]
        ),
        CATEGORIES,
    )
    equal(found, [1 / 2, 1, 0, 5 / 6, 1 / 2, math.nan, math.nan, 23 / 36])


def test_a_single_category_is_the_share_of_pairs_that_differ():
    found = category_diversity(lists([[0, 1, 2, 3], [0, 1, 4, -1]]), ragged([[7], [7], [7], [2], [7]]))
    equal(found, [3 / 6, 0])


def test_a_category_named_twice_counts_once():
    equal(category_diversity(lists([[0, 1]]), ragged([[3, 3, 4], [3, 5]])), [2 / 3])


def test_embedding_diversity():
    half = math.sqrt(0.5)
    embeddings = np.array([[1, 0], [0, 1], [-1, 0], [half, half], [0, 0]])
    found = embedding_diversity(
        lists(
            [
                [0, 1, -1],  # a right angle
                [0, 2, -1],  # opposite
                [3, 3, 3],  # the same thing three times
                [0, 1, 3],  # cosines 0 and twice 1 / sqrt(2)
                [0, 4, 1],  # the unknown one is left out
                [0, 4, -1],
                [-1, -1, -1],
            ]
        ),
        embeddings,
    )
    equal(found, [1, 2, 0, 1 - 2 * half / 3, 1, math.nan, math.nan])


def test_embeddings_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match="got a row of length 2, expected rows of length 1 or 0"):
        ItemFacts(embeddings=np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 2.0]]))


def similarity(a: set[int], b: set[int]) -> float:
    return len(a & b) / len(a | b)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.sets(st.integers(0, 5), max_size=4), min_size=8, max_size=8),
    st.lists(st.lists(st.integers(0, 7), max_size=5, unique=True), min_size=1, max_size=6),
    st.integers(0, 99),
)
def test_diversity_equals_a_loop_over_pairs(sets, rows, seed):
    vectors = np.random.default_rng(seed).normal(size=(8, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    by_category, by_embedding = [], []
    for row in rows:
        known = [sets[item] for item in row if sets[item]]
        distances = [1 - similarity(a, b) for a, b in combinations(known, 2)]
        by_category.append(np.mean(distances) if distances else math.nan)
        cosines = [vectors[a] @ vectors[b] for a, b in combinations(row, 2)]
        by_embedding.append(1 - np.mean(cosines) if cosines else math.nan)
    items = lists([row + [-1] * (5 - len(row)) for row in rows])
    equal(category_diversity(items, ragged([list(s) for s in sets])), by_category)
    equal(embedding_diversity(items, vectors), by_embedding)


def test_query_share():
    # Queries 0, 4 and 9; item 1 by all of them, item 0 twice by one, item 3 by two, item 2 by none.
    past = events([(0, 1, 1), (4, 1, 2), (9, 1, 3), (0, 0, 4), (0, 0, 5), (4, 3, 6), (9, 3, 7)])
    equal(query_share(past, 4), [2 / 4, 1, 1 / 4, 3 / 4])
    equal(query_share(events([]), 2), [1, 1])


def test_novelty():
    share = np.array([1, 1 / 2, 1 / 8])
    equal(novelty(lists([[0, 1, 2], [2, 1, -1], [0, -1, -1], [-1, -1, -1]]), share), [4 / 3, 2, 0, math.nan])


def test_serendipity():
    shown = candidates([[1, 2, 3, 4], [1, 2, 3, 4], [1, 2, -1, -1], [1, 2, 3, 4], [5, 1, 2, 3]])
    targets = ragged([[2, 4, 9], [1], [1, 2], [], [5]])
    obvious = candidates([[4, 8, 7, 6, 2], [7, 1, 8, 9, 5], [3, -1, -1, -1, -1], [1] * 5, [1, 2, 3, 4, 5]])
    # Hits 2 and 4, of which 4 is obvious (2 is so only beyond k); an obvious hit; two hits; none to hit; one hit.
    equal(serendipity(shown, targets, obvious, 4), [1 / 4, 0, 2 / 4, math.nan, 1 / 4])


def test_the_obvious_recommender_has_no_serendipity_and_nobody_more_than_precision():
    generator = np.random.default_rng(0)
    ours, popular = (candidates([generator.permutation(30)[:8].tolist() for _ in range(200)]) for _ in range(2))
    targets = ragged([generator.permutation(30)[:6].tolist() for _ in range(200)])
    assert not serendipity(popular, targets, popular, 8).any()
    found, precision = serendipity(ours, targets, popular, 8), per_request(ours, targets, 8)["precision"]
    assert (found <= precision).all()
    assert 0 < found.mean() < precision.mean()


def test_serendipity_against_lists_too_short_to_tell_is_refused():
    with pytest.raises(ValueError, match="k: got 3, expected 1 to 2"):
        serendipity(candidates([[1, 2, 3]]), ragged([[1]]), candidates([[1, 2]]), 3)


def test_entry_times():
    # The log starts at 10. Item 0 came later, item 1 at an unknown time (its first event is at 30), item 2 has
    # neither; item 3 came in after it was first taken, as its table says.
    past = events([(0, 1, 30), (0, 1, 40), (0, 0, 55), (1, 3, 10)])
    never = np.iinfo(np.int64).max
    assert entry_times(np.array([50, 10, 10, 20]), past).tolist() == [50, 30, never, 20]
    assert entry_times(np.array([50, 10]), events([])).tolist() == [50, 10]


ENTERED = np.array([0, 4 * DAY, 9 * DAY, np.iinfo(np.int64).max, 20 * DAY])


def test_age():
    shown = lists([[0, 1, 2, -1], [0, 1, 2, 3], [4, 0, -1, -1], [3, -1, -1, -1], [-1, -1, -1, -1]])
    time = np.array([10, 10, 10, 10, 10]) * DAY
    # Ages 10, 6, 1; 10, 6, 1, 0 (nobody has seen item 3); 0 (not yet in) and 10; 0; none.
    equal(age(shown, time, ENTERED, DAY), [6, 3.5, 5, 0, math.nan])
    equal(age(shown, time, ENTERED, 1), [6 * DAY, 3.5 * DAY, 5 * DAY, 0, math.nan])
    equal(age(shown[:1], np.array([12 * DAY]), ENTERED, DAY), [8])
    equal(age(lists([[3]]), np.array([-5]), ENTERED, DAY), [0])  # a moment before 1970 does not overflow


def test_fresh_share():
    shown = lists([[0, 1, 2, -1], [0, 1, 2, 3], [-1, -1, -1, -1]])
    time = np.full(3, 10 * DAY)
    equal(fresh_share(shown, time, ENTERED, DAY, 1), [1 / 3, 2 / 4, math.nan])
    equal(fresh_share(shown, time, ENTERED, DAY, 6), [2 / 3, 3 / 4, math.nan])
    equal(fresh_share(shown, time, ENTERED, DAY, 0.99), [0, 1 / 4, math.nan])


FACTS = ItemFacts(CATEGORIES, np.eye(6), np.arange(1, 7) / 6, np.arange(6), age_unit=1, recent=2)


def test_per_list_is_its_parts_at_k():
    shown, asked = candidates([[0, 1, 2], [5, 4, -1], [-1, -1, -1]]), requests([[1], [4], []], [9, 5, 9])
    popular = candidates([[1, 0, 2], [1, 0, 2], [1, 0, 2]])
    found = per_list(shown, asked, 2, FACTS, popular)
    items = shown.items[:, :2]
    equal(found.pop("category_diversity"), category_diversity(items, CATEGORIES))
    equal(found.pop("embedding_diversity"), [1, 1, math.nan])
    equal(found.pop("novelty"), novelty(items, FACTS.share))
    equal(found.pop("age"), [8.5, 0.5, math.nan])
    equal(found.pop("fresh_share"), [0, 1, math.nan])
    equal(found.pop("serendipity"), [0, 1 / 2, math.nan])
    assert not found
    assert per_list(shown, asked, 2, ItemFacts()) == {}
    assert per_list(shown, asked, 2, ItemFacts(share=FACTS.share)).keys() == {"novelty"}


def test_no_requests_at_all():
    nobody = candidates([]).items.reshape(0, 3)
    found = per_list(Candidates(nobody, nobody, "test"), requests([], []), 3, FACTS)
    assert {values.shape for values in found.values()} == {(0,)}
    assert len(found) == 5


def test_lists_for_other_requests_are_refused():
    with pytest.raises(ValueError, match="candidates: got 1 lists, expected 2"):
        per_list(candidates([[0]]), requests([[1], [1]], [0, 0]), 1, FACTS)
    with pytest.raises(ValueError, match="k: got 2, expected 1 to 1"):
        per_list(candidates([[0]]), requests([[1]], [0]), 2, FACTS)


def test_blocks_do_not_change_the_result(monkeypatch):
    generator = np.random.default_rng(1)
    shown = candidates([[*generator.permutation(6)[:4].tolist(), -1] for _ in range(50)])
    asked = requests([[0]] * 50, generator.integers(10, size=50).tolist())
    whole = per_list(shown, asked, 5, FACTS)
    for cells in (1, 300):
        monkeypatch.setattr(variety, "_CELLS", cells)
        for name, values in per_list(shown, asked, 5, FACTS).items():
            equal(values, whole[name])


def test_memory_is_bounded_by_blocks():
    generator = np.random.default_rng(2)
    embeddings = np.zeros((2000, 64), np.float32)
    embeddings[np.arange(2000), generator.integers(64, size=2000)] = 1
    facts = ItemFacts(
        ragged(generator.integers(20, size=(2000, 2)).tolist()), embeddings, np.ones(2000), np.zeros(2000)
    )
    items = generator.integers(2000, size=(40_000, 20)).astype(np.int32)
    asked = requests([[0]] * len(items), [0] * len(items))
    tracemalloc.start()
    per_list(Candidates(items, items, "test"), asked, 20, facts)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 120e6  # the gathered embeddings alone would be 205 MB

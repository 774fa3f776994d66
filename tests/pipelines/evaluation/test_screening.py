import os
import subprocess
import sys

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from pipelines.evaluation import screening
from pipelines.evaluation.screening import Screen, better, contenders
from pipelines.evaluation.top_k import ordered
from pipelines.tables import Ragged
from towers.backend import tf

DTYPES = [tf.bfloat16, tf.float32]


def by_rows(lists: list[list[int]]) -> Ragged:
    row = np.repeat(np.arange(len(lists)), [len(one) for one in lists])
    return Ragged.from_rows(row, np.array([place for one in lists for place in one], np.int64), len(lists))


def nothing(rows: int) -> Ragged:
    return by_rows([[] for _ in range(rows)])


def all_exact(screen: Screen, queries: np.ndarray) -> np.ndarray:
    """Exact scores of all pairs, [b, M]."""
    row, place = np.divmod(np.arange(len(queries) * len(screen.items)), len(screen.items))
    return screen.exact(queries, row, place).reshape(len(queries), -1)


@pytest.fixture
def small(monkeypatch):
    """Chunks and blocks so small that a few items take several."""
    monkeypatch.setattr(screening, "CHUNK", 7)
    monkeypatch.setattr(screening, "_PAIRS", 5)


@st.composite
def worlds(draw):
    """Items and queries of one seed: normal, level in large part, far from 0, close together, huge or tiny; or such
    that rounding changes their order by not much less than the bound on the error allows for."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    m, b, d = draw(st.integers(1, 60)), draw(st.integers(1, 5)), draw(st.sampled_from([1, 3, 16]))
    items, queries = rng.standard_normal((m, d)), rng.standard_normal((b, d))
    kind = draw(st.sampled_from(["normal", "level", "far", "close", "huge", "tiny", *["rounded"] * 4]))
    if kind == "level":
        items, queries = items.round(), queries.round()
    if kind == "far":
        items, queries = items - 50, queries + 3
    if kind == "close":
        items = items[:1] + 1e-6 * items
    if kind == "rounded":  # scores of almost 1 or -1, so that the mean is 0, on axes that round differently
        queries = rng.uniform(1, 2, (1, 2))
        items = np.eye(2)[rng.integers(0, 2, m)] * rng.uniform(1, 1.01, (m, 1)) / queries
        items = np.concatenate([items, -items])
        m, b = 2 * m, 1
    scale = {"huge": 1e15, "tiny": 1e-18}.get(kind, 1)
    barred = [list(rng.permutation(m)[: rng.integers(0, m + 1)]) for _ in range(b)]
    return (items * scale).astype(np.float32), (queries * scale).astype(np.float32), by_rows(barred)


@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None, max_examples=200)
@given(world=worlds(), k=st.integers(1, 12), most=st.sampled_from([3, 1 << 22]), spare=st.sampled_from([1e-3, 1.5]))
def test_contenders_hold_the_best(dtype, world, k, most, spare):
    items, queries, barred = world
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(screening, "CHUNK", 7)
        patch.setattr(screening, "_MOST", most)
        patch.setattr(screening, "_SPARE", spare)
        screen = Screen(items, dtype)
        row, place = contenders(screen, queries, k, barred)
    assert (np.diff(row) >= 0).all()
    scores = all_exact(screen, queries)
    for n in range(len(queries)):
        found = place[row == n].tolist()
        assert len(set(found)) == len(found)
        admitted = [p for p in range(len(items)) if p not in barred[n]]
        best = sorted(admitted, key=lambda p: -scores[n, p])[:k]
        # everything level with the k-th too: which of them is in the list is for the caller to say
        level = [p for p in admitted if len(best) == k and scores[n, p] == scores[n, best[-1]]]
        assert set(found) >= {*best, *level}
        assert set(found) <= set(admitted)


@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None, max_examples=200)
@given(world=worlds(), k=st.integers(1, 12), data=st.data())
def test_better_counts_what_comes_before(dtype, world, k, data):
    items, queries, barred = world
    own = np.array([data.draw(st.integers(0, len(items) - 1)) for _ in queries])
    precedence = np.random.default_rng(1).permutation(len(items))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(screening, "CHUNK", 7)
        screen = Screen(items, dtype)
        count = better(screen, queries, own, precedence, k, barred)
    scores = all_exact(screen, queries)
    for n, mine in enumerate(own):
        before = [
            p
            for p in range(len(items))
            if p not in barred[n] and (-scores[n, p], precedence[p]) < (-scores[n, mine], precedence[mine])
        ]
        assert count[n] == min(len(before), k)


def spread_vectors(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    items = rng.standard_normal((40, 32)) * rng.exponential(size=(40, 1)) + 1
    return items, rng.standard_normal((30, 32)) * rng.exponential(size=(30, 1))


def differences_of_axes(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Items that are exact at any precision, so that the error is that of the queries, and scores small beside it."""
    plus, minus = np.nonzero(1 - np.eye(6))
    return np.eye(6)[plus] - np.eye(6)[minus], 1 + 0.01 * rng.random((30, 6))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("vectors", [spread_vectors, differences_of_axes])
def test_no_cheap_score_is_further_off_than_the_error(dtype, vectors, small):
    items, queries = (of.astype(np.float32) for of in vectors(np.random.default_rng(0)))
    screen = Screen(items, dtype)
    error, true = screen.error(queries), all_exact(screen, queries) - screen.shift(queries)[:, None]
    for chunk, start in enumerate(screen.starts):
        keys = screen.keys(screen.lowered(queries), chunk, nothing(len(queries)), positive=False)
        part = true[:, start : start + keys.shape[1]]
        for column in range(keys.shape[1]):
            assert (keys[:, column] >= screen.key(part[:, column] - error)).all()
            assert (keys[:, column] <= screen.key(part[:, column] + error)).all()
            assert (screen.least(keys[:, column]) <= part[:, column] + error).all()


@pytest.mark.parametrize("dtype", DTYPES)
@given(scores=st.lists(st.floats(-1e30, -1e-30) | st.just(0) | st.floats(1e-30, 1e30), min_size=1, max_size=20))
def test_no_score_is_below_the_least_of_its_key(dtype, scores):
    screen = Screen(np.ones((1, 1), np.float32), dtype)
    scores = np.array(scores).astype(np.float32)
    least = screen.least(screen.key(scores))
    assert (least <= scores).all()
    assert (least >= scores - 2.0**-6 * np.abs(scores)).all()
    assert screen.least(np.array([screen.lowest])).tolist() == [-np.inf]


def test_few_are_left_in_doubt():
    rng = np.random.default_rng(0)
    items, queries = rng.standard_normal((20_000, 64), np.float32), rng.standard_normal((20, 64), np.float32)
    for dtype, most in zip(DTYPES, (2.0, 1.01), strict=True):
        row, _ = contenders(Screen(items, dtype), queries, 50, nothing(20))
        assert 50 * 20 <= len(row) <= 50 * 20 * most


@pytest.mark.parametrize("onednn", ["0", "1"])
def test_products_are_rounded_where_tensorflow_cuts_them_off(onednn):
    """Its own kernel, which runs without oneDNN, cuts off products of bfloat16."""
    code = """
from pipelines.evaluation.screening import _product
from towers.backend import tf
one = lambda value: tf.constant([[value]], tf.bfloat16)
print(float(_product(one(1.3203125), one(0.76171875))[0, 0]))  # 1.0057, between 1 and 1.0078
"""
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": onednn}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "1.0078125"


def test_products_that_overflow_are_refused():
    with pytest.raises(ValueError, match="too large for float32"):
        contenders(Screen(np.full((3, 2), 1e30, np.float32)), np.full((1, 2), 1e9, np.float32), 1, nothing(1))


def test_positive_keys_are_those_of_the_ordered(small):
    rng = np.random.default_rng(0)
    items, queries = rng.standard_normal((7, 4), np.float32), rng.standard_normal((9, 4), np.float32)
    barred = by_rows([[n % 7] for n in range(9)])
    for dtype in DTYPES:
        screen = Screen(items, dtype)
        all_, positive = (screen.keys(screen.lowered(queries), 0, barred, only) for only in (False, True))
        assert (all_[np.arange(9), np.arange(9) % 7] == screen.lowest).all()
        np.testing.assert_array_equal(np.maximum(all_, 0), np.maximum(positive, 0))
        assert (ordered(all_).view(dtype.as_numpy_dtype)[all_ > 0] > 0).all()


def test_an_exact_score_does_not_depend_on_the_other_pairs():
    rng = np.random.default_rng(0)
    items, queries = rng.standard_normal((300, 67), np.float32), rng.standard_normal((20, 67), np.float32)
    screen, other = Screen(items), Screen(items[::-1].copy())
    together = all_exact(screen, queries)
    for n in range(20):
        np.testing.assert_array_equal(all_exact(screen, queries[n : n + 1])[0], together[n])
    np.testing.assert_array_equal(all_exact(other, queries)[:, ::-1], together)
    one = [screen.exact(queries, np.array([3]), np.array([place]))[0] for place in range(300)]
    np.testing.assert_array_equal(one, together[3])

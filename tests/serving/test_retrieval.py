"""Retrieval under filters, exclusions and a delta, held against brute force for every searcher."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving import retrieval
from serving.filters import Filters, codes
from serving.retrieval import Asked, Retrieval
from serving.searchers import Ivf, build_searcher
from serving.searchers.ivf import Effort
from towers.backend import tf, traced
from towers.losses import MASKED

ITEMS, DIMENSION = 400, 9
REGIONS = ["eu", "us", "asia", "rare"]
KINDS = ["exact", "scann", "ivf"]


@dataclass(frozen=True)
class World:
    """Items with their vectors and values, and what of them is indexed, listed and replaced."""

    texts: dict[str, list[str]]
    vectors: np.ndarray
    listed: np.ndarray
    retrieval: Retrieval

    def check(self, answer: list[int], query: np.ndarray, seen: list[int], wanted: dict, k: int) -> None:
        """An answer holds the best rows that may be shown; those that score alike may change places."""
        scores = np.atleast_2d(query @ self.vectors.T).max(axis=0)
        allowed = self.listed.copy()
        allowed[seen] = False
        for name, values in wanted.items():
            allowed &= [not values or bool({*text.split("|")} & {*values}) for text in self.texts[name]]
        assert len(set(answer)) == len(answer)
        assert allowed[answer].all()
        best = np.sort(scores[allowed])[::-1][:k]
        np.testing.assert_allclose(scores[answer], best, rtol=1e-5, atol=1e-5)

    def best(self, queries: np.ndarray, seen: list[list[int]], wanted: dict[str, list[list[str]]], k: int) -> list:
        width = max(map(len, seen), default=0)
        padded = np.array([[*rows, *[-1] * (width - len(rows))] for rows in seen], np.int32).reshape(len(seen), width)
        asked = {}
        for name, values in wanted.items():
            longest = max(map(len, values), default=0)
            table = np.array([[*one, *[""] * (longest - len(one))] for one in values], object)
            asked[name] = codes(tf.constant(table.reshape(len(values), longest), tf.string))
        graph = in_graph(self.retrieval, queries.ndim == 3)
        rows, scores = graph(tf.constant(queries), tf.constant(padded), asked, tf.constant(k))
        assert ((rows.numpy() >= 0) == (scores.numpy() > MASKED)).all()
        return [[row for row in one if row >= 0] for one in rows.numpy().tolist()]


@cache
def in_graph(of: Retrieval, several: bool):
    rows, codes_ = (tf.TensorSpec([None, None], kind) for kind in (tf.int32, tf.int64))
    query = tf.TensorSpec([None, 2, DIMENSION] if several else [None, DIMENSION], tf.float32)
    specs = [query, rows, {"stock": codes_, "region": codes_}, tf.TensorSpec([], tf.int32)]
    return traced(lambda query, seen, wanted, k: of.best(Asked(query, seen, wanted), k), input_signature=specs)


@cache
def world(kind: str, changed: bool, worth: int) -> World:
    """350 of 400 items are indexed; where `changed`, some of them were since replaced or removed, and others added."""
    rng = np.random.default_rng(0)
    texts = {
        "stock": ["yes" if row % 2 else "no" for row in range(ITEMS)],
        "region": ["|".join(name for name in REGIONS[:3] if rng.random() < 0.5) for _ in range(ITEMS)],
    }
    for row in (7, 20):
        texts["region"][row] += "|rare"
    before = rng.standard_normal((ITEMS, DIMENSION)).astype(np.float32)
    now, indexed = before.copy(), rng.permutation(ITEMS)[:350]
    listed = np.isin(np.arange(ITEMS), indexed)
    replaced, added, removed = indexed[:20], np.setdiff1d(np.arange(ITEMS), indexed)[:15], indexed[20:40]
    searcher = build_searcher(kind, before[indexed])
    if changed:
        now[replaced] = 3 * rng.standard_normal((20, DIMENSION))  # wanted more than any other
    parts = now[:, :6], now[:, 6:8], now[:, 8:]
    found = Retrieval(searcher, indexed, *parts, Filters(texts), np.zeros(3, np.float32))
    if changed:
        listed[added], listed[removed] = True, False
        found.listed.assign(listed)
        found.replaced.assign(np.isin(np.arange(ITEMS), replaced))
        delta = np.concatenate([added, replaced]).astype(np.int32)
        found.delta.assign(delta)
        found.delta_vectors.assign(now[delta])
        found.current.assign(1 - 40 / 350)
    return World(texts, now, listed, found)


@st.composite
def requests(draw):
    """A batch: queries of one vector or two, what was seen, wanted values of each filter, and k."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    rows, several = draw(st.integers(0, 4)), draw(st.booleans())
    queries = rng.standard_normal((rows, 2, DIMENSION) if several else (rows, DIMENSION)).astype(np.float32)
    most = draw(st.sampled_from([0, 3, 40, 100, ITEMS]))
    seen = [rng.permutation(ITEMS)[: rng.integers(0, most + 1)].tolist() for _ in range(rows)]
    values = st.lists(st.sampled_from([*REGIONS, "nowhere"]), max_size=3, unique=True)
    regions = draw(st.lists(values, min_size=rows, max_size=rows))
    stocks = draw(st.lists(st.sampled_from([[], ["yes"], ["no"], ["yes", "no"]]), min_size=rows, max_size=rows))
    k = draw(st.sampled_from([1, 5, 30, 399, 401]))
    return queries, seen, {"stock": stocks, "region": regions}, k


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("changed", [False, True])
@pytest.mark.parametrize("worth", [0, 1, 10_000])
@settings(deadline=None, max_examples=20)
@given(request=requests())
def test_lists_are_those_of_brute_force_whatever_is_filtered(kind, changed, worth, request):
    """`worth` says when survivors are scored exactly: hardly ever, at times, or whenever there is a filter."""
    queries, seen, wanted, k = request
    found = world(kind, changed, worth)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retrieval, "_WORTH", worth)  # read when the graph is traced
        answers = found.best(queries, seen, wanted, k)
    assert len(answers) == len(queries)
    for row, answer in enumerate(answers):
        own = {name: values[row] for name, values in wanted.items()}
        found.check(answer, queries[row], seen[row], own, k)


@pytest.fixture(scope="module")
def noise() -> tuple[np.ndarray, np.ndarray, np.ndarray, Filters, Ivf]:
    """Vectors without clusters, of whose leaves many hold the best; queries; and a filter that a tenth survives."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((20_000, 12)).astype(np.float32)
    kept = rng.random(len(vectors)) < 0.1
    queries = rng.standard_normal((30, 12)).astype(np.float32)
    return vectors, queries, kept, Filters({"stock": np.where(kept, "yes", "no")}), Ivf.build(vectors)


@pytest.mark.parametrize(
    ("share", "worth", "exact"),
    [
        (0.15, None, True),  # of the leaves: as many vectors to copy as survive
        (0.15, 0, False),
        (0.001, None, False),  # a search that costs little is tried first
    ],
)
def test_survivors_are_scored_exactly_where_a_search_would_take_longer(noise, monkeypatch, share, worth, exact):
    vectors, queries, kept, filters, searcher = noise
    searcher.effort = Effort(max(1, round(share * searcher.layout.leaves)), k=10_000)
    none = np.zeros((len(vectors), 0), np.float32)
    of = Retrieval(searcher, np.arange(len(vectors)), vectors, none, none, filters, np.zeros(0, np.float32))
    if worth is not None:
        monkeypatch.setattr(retrieval, "_WORTH", worth)
    wanted = {"stock": codes(tf.fill([len(queries), 1], "yes"))}
    found = of.best(Asked(tf.constant(queries), tf.zeros([len(queries), 0], tf.int32), wanted), tf.constant(10))[0]
    truth = np.argsort(np.where(kept, -(queries @ vectors.T), np.inf), axis=1)[:, :10]
    recall = np.mean([len({*a} & {*b}) / 10 for a, b in zip(found.numpy(), truth, strict=True)])
    assert (recall == 1) == exact
    assert recall > 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_no_variable_is_marked_for_sparse_access(kind):
    """TensorFlow copies the whole of such a variable at every read of it from then on: all vectors, for their size."""
    graph = in_graph(world(kind, False, retrieval._WORTH).retrieval, False).get_concrete_function().graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    assert "ReadVariableOp" in {node.op for node in nodes}
    assert "ResourceGather" not in {node.op for node in nodes}

"""Every history encoder, histories read by id, and queries of several vectors, through the whole graph."""

from __future__ import annotations

import numpy as np
import pytest

from serving.runtime import Session, signature_table
from tests.serving.small import (
    IDS,
    LENGTH,
    UNINDEXED,
    Arrays,
    Small,
    batch_of,
    build,
    export,
    inputs_of,
    lists,
    strings,
)
from towers.backend import tf
from towers.lookup import FIRST_KNOWN

HISTORY = {"length": LENGTH, "layers": 1, "heads": 2}
HISTORIES = [["i20", "i21"], [], ["it's", "i77", "i78"], IDS[40:110]]
KINDS = {
    "none": {"history": HISTORY | {"encoder": "none"}},
    "mean": {"history": HISTORY | {"encoder": "mean"}},
    "convolution": {"history": HISTORY | {"convolution": 3, "scaled": True}},
    "gru": {"history": HISTORY | {"encoder": "gru"}},
    "ids": {"history": HISTORY | {"items": "id"}},
    "dcn": {"top": "dcn"},
    "no bias": {"item_bias": False},
    "several": {"query_vectors": 3},
}


@pytest.fixture(scope="module")
def several() -> Small:
    return build(query_vectors=3)


@pytest.fixture(scope="module", params=KINDS)
def kind(request) -> Small:
    return request.getfixturevalue("several") if request.param == "several" else build(**KINDS[request.param])


def call(small: Small, signature: str, inputs: Arrays) -> Arrays:
    """The answer of a signature's function, without the time it takes to trace one."""
    values = {name: tf.constant(value) for name, value in inputs.items()}
    return {name: value.numpy() for name, value in getattr(small.module, signature)(values).items()}


def brute_force(small: Small, inputs: Arrays) -> np.ndarray:
    """Scores [B, N] from the towers' own vectors, -inf where an item must not be recommended."""
    batch = batch_of(small.config, small.fitted, inputs)
    tokens = small.towers.history_tokens(batch["item"], tf.gather(small.catalogue.static, batch["item"]))
    queries = small.towers.query_vectors(batch, tokens).numpy()
    queries = queries.reshape(len(queries), -1, queries.shape[-1])
    vectors = np.concatenate([small.catalogue.static, small.catalogue.trend], axis=1)
    scores = (queries @ vectors.T).max(axis=1)
    scores[:, sorted(UNINDEXED)] = -np.inf
    for row, ids in enumerate(inputs["history"]):
        scores[row, [IDS.index(item) for item in ids if item]] = -np.inf
    return scores


@pytest.mark.parametrize("k", [1, 10, 30, 200])
def test_retrieve_is_brute_force(kind, k):
    inputs = inputs_of(HISTORIES, k=k, seed=k)
    scores, answer = brute_force(kind, inputs), call(kind, "retrieve", inputs)
    best = np.argsort(-scores, axis=1, kind="stable")
    expected = [[i for i in row if scores[b, i] > -np.inf][:k] for b, row in enumerate(best)]
    assert lists(answer) == [[IDS[i] for i in row] for row in expected]
    for row, items in enumerate(expected):
        np.testing.assert_allclose(answer["scores"][row, : len(items)], scores[row, items], rtol=1e-4, atol=1e-4)


def test_the_list_is_made_of_what_is_retrieved(kind):
    inputs = inputs_of(HISTORIES, k=10)
    depth = np.full(len(HISTORIES), kind.config.index.candidates, np.int32)
    candidates = lists(call(kind, "retrieve", inputs | {"k": depth}))
    for found, within in zip(lists(call(kind, "recommend", inputs)), candidates, strict=True):
        assert len(set(found)) == 10
        assert set(found) <= set(within)


def test_rank_scores_candidates_by_the_best_of_several_vectors(several):
    inputs = inputs_of(HISTORIES, seed=2)
    rows = np.array([[3, 50, 70, 9], [9, 70, 3, 60], [1, 2, 3, 5], [6, 7, 120, 110]])
    scores = np.take_along_axis(brute_force(several, inputs), rows, axis=1)
    order = np.argsort(-scores, axis=1)
    rows, scores = np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)
    batch, side, trend = (
        batch_of(several.config, several.fitted, inputs),
        several.catalogue.ranker,
        several.catalogue.trend,
    )
    ranked = several.ranker.score(batch, side[batch["item"]], side[rows], trend[rows], scores).numpy()
    answer = call(several, "rank", inputs | {"candidates": strings(IDS)[rows]})
    best = np.take_along_axis(rows, np.argsort(-ranked, axis=1), axis=1)
    assert lists(answer) == [[IDS[i] for i in row] for row in best]


def test_the_vectors_of_a_query_differ_and_each_finds_something(several):
    inputs = inputs_of(HISTORIES, k=30)
    vectors = call(several, "embed_user", inputs)["vector"]
    width = several.towers.dimension
    assert vectors.shape == (len(HISTORIES), 3, width + 1 + several.catalogue.trend.shape[1])
    np.testing.assert_array_equal(vectors[:, :1, width:], vectors[:, 1:2, width:])  # one bias, one weight of trends
    scores = vectors @ np.concatenate([several.catalogue.static, several.catalogue.trend], axis=1).T
    best = np.argmax(scores, axis=1)
    assert all(len(set(row)) == 3 for row in best)


def test_several_vectors_are_searched_through_scann_alike():
    small = build("scann", query_vectors=3)
    inputs = inputs_of(HISTORIES, k=20)
    best = np.argsort(-brute_force(small, inputs), axis=1, kind="stable")[:, :20]
    found = lists(call(small, "retrieve", inputs))
    assert all(len(row) == len(set(row)) == 20 for row in found)
    assert all(len(set(row) & {IDS[i] for i in truth}) >= 18 for row, truth in zip(found, best, strict=True))


def test_a_history_read_by_id_is_read_by_id_alone():
    small = build(history=HISTORY | {"items": "id"})
    inputs = inputs_of([["i20", "i21"]])
    before = call(small, "embed_user", inputs)["vector"]
    small.module.retrieval.static.assign(small.module.retrieval.static + 1)
    np.testing.assert_array_equal(call(small, "embed_user", inputs)["vector"], before)
    table = small.towers.read_ids.table.embeddings
    table[FIRST_KNOWN + 20].assign(-2 * table[FIRST_KNOWN + 20])
    assert np.abs(call(small, "embed_user", inputs)["vector"] - before).max() > 1e-3


def test_without_a_history_encoder_a_query_is_what_its_features_say():
    small = build(**KINDS["none"])
    read, other = (call(small, "embed_user", inputs_of([ids], seed=3))["vector"] for ids in (["i20", "i21"], []))
    np.testing.assert_array_equal(read, other)
    changed = inputs_of([[]], seed=3) | {"device": strings(["fridge"]), "user": strings(["u3"])}
    assert np.abs(call(small, "embed_user", changed)["vector"] - other).max() > 1e-4


@pytest.mark.slow
def test_an_exported_graph_answers_the_same(tmp_path):
    """Of a recommender that is unlike the default in everything."""
    small = build(query_vectors=2, top="dcn", history=HISTORY | {"encoder": "gru", "items": "id"})
    inputs = inputs_of(HISTORIES, k=10)
    bundle = export(small, tmp_path / "bundle")
    with Session(bundle, signature_table(bundle)) as session:
        answer = session.run("recommend", inputs)
    assert lists(answer) == lists(call(small, "recommend", inputs))

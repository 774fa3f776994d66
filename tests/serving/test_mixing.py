"""What is mixed in by segment and length of history: two more parts of the same inner product."""

from __future__ import annotations

import numpy as np
import pytest

from serving.mixing import Mixing
from serving.runtime import Session, signature_table
from tests.serving import small
from tests.serving.small import IDS, ITEMS, LENGTH, UNINDEXED, batch_of, inputs_of, lists, strings
from towers.backend import tf

WEIGHTS = [[2, 1, 0.5, 0.25, 0], [1.5, 1, 0, 0, 0]]
MIXING = Mixing(("ch", "at"), np.array(WEIGHTS))  # "be" has no column of its own
HISTORIES = [[], ["i20"], ["i20", "i21", "i22"], ["i20"], [], [*IDS[40:50]]]
SEGMENTS = ["ch", "at", "ch", "be", "", "at"]
PARTS = [[2, 0, 0], [0, 1, 0], [0.5, 0, 0], [0, 0, 1], [0, 0, 1.5], [0, 0.5, 0]]  # at most LENGTH = 5 items are read


@pytest.fixture(scope="module")
def mixed() -> small.Small:
    return small.build(mixing=MIXING)


def request(**changed: np.ndarray) -> small.Arrays:
    return inputs_of(HISTORIES, k=10, country=strings(SEGMENTS), **changed)


def test_lengths_and_segments_choose_the_weight_and_its_column():
    read, queries = tf.constant([0, 1, 2, 3, 5, 6, 10, 11, 12]), tf.ones([9, 4])
    for column, row in ((0, WEIGHTS[0]), (1, WEIGHTS[0]), (2, WEIGHTS[1])):
        found = MIXING.extend(queries, read, tf.fill([9], column)).numpy()
        expected = np.zeros((9, 3), np.float32)
        expected[:, column] = np.array(row)[[0, 1, 1, 2, 2, 3, 3, 4, 4]]
        np.testing.assert_array_equal(found, np.concatenate([np.ones((9, 4)), expected], axis=1))
    several = MIXING.extend(tf.ones([9, 2, 4]), read, tf.fill([9], 0)).numpy()
    assert several.shape == (9, 2, 7)
    np.testing.assert_array_equal(several[:, 0], several[:, 1])


def test_the_query_vector_is_the_towers_with_the_mixed_part_behind(mixed):
    batch = batch_of(mixed.config, mixed.fitted, request())
    static = mixed.catalogue.static
    towers = mixed.towers.query_vectors(
        batch, mixed.towers.history_tokens(batch["item"], tf.gather(static, batch["item"]))
    )
    found = mixed.call("embed_user", request())["vector"]
    np.testing.assert_allclose(found[:, : towers.shape[1]], towers, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found[:, towers.shape[1] :], PARTS)
    assert LENGTH == 5


def test_retrieve_and_rank_score_with_all_parts(mixed):
    catalogue = mixed.catalogue
    vectors = np.concatenate([catalogue.static, catalogue.trend, catalogue.mixed], axis=1)
    scores = mixed.call("embed_user", request())["vector"] @ vectors.T
    seen = np.zeros((len(HISTORIES), ITEMS), bool)
    seen[:, sorted(UNINDEXED)] = True
    for row, history in enumerate(HISTORIES):
        seen[row, [IDS.index(item) for item in history]] = True
    best = np.argsort(np.where(seen, np.inf, -scores), axis=1, kind="stable")[:, :10]
    answer = mixed.call("retrieve", request())
    assert lists(answer) == [[IDS[i] for i in row] for row in best]
    side = catalogue.ranker
    batch = batch_of(mixed.config, mixed.fitted, request())
    retrieval = np.take_along_axis(scores, best, axis=1)
    ranked = mixed.ranker.score(batch, side[batch["item"]], side[best], catalogue.trend[best], retrieval).numpy()
    order = np.take_along_axis(best, np.argsort(-ranked, axis=1), axis=1)
    found = mixed.call("rank", request() | {"candidates": strings(IDS)[best[:, ::-1]]})
    assert lists(found) == [[IDS[i] for i in row] for row in order]


def test_each_like_counts_as_one_item_whatever_stands_for_it(mixed):
    likes = [
        ["genre=drama"],
        ["genre=drama"],
        ["", "tags=a"],
        ["genre=nothing"],
        ["tags=a", "tags=b", "tags=c"],
        ["tags=c"],
    ]
    part = mixed.call("embed_user", request(likes=small.padded(likes)))["vector"][:, -3:]
    np.testing.assert_array_equal(part.max(axis=1), [1, 1, 0.5, 1, 0, 0.5])  # no more is read than fits


@pytest.mark.slow
def test_an_exported_graph_answers_the_same(mixed, tmp_path):
    bundle = small.export(mixed, tmp_path / "bundle")
    with Session(bundle, signature_table(bundle)) as session:
        assert lists(session.run("recommend", request())) == lists(mixed.call("recommend", request()))

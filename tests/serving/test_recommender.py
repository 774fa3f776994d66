"""The whole graph: what a list may hold, and that each step is what it says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.ids import ItemIds
from serving.recommender import Recommender, fill, listed
from serving.sets import contains
from tests.serving.small import (
    IDS,
    ITEMS,
    LENGTH,
    UNINDEXED,
    Arrays,
    Small,
    batch_of,
    build_popularity,
    inputs_of,
    lists,
    no_filters,
    one,
    padded,
    seeing,
    strings,
)
from tests.serving.test_policies import greedy
from towers.backend import tf
from towers.features import Preprocess, encode

INDEXED = [item for row, item in enumerate(IDS) if row not in UNINDEXED]
ROW = {item: row for row, item in enumerate(IDS)}
some_ids = st.lists(st.sampled_from([*IDS, "", "nobody"]), max_size=12)


def popular_order(small: Small) -> list[str]:
    return [IDS[row] for row in small.catalogue.popular]


def check_list(small: Small, answer: Arrays, inputs: Arrays) -> None:
    """All that must hold of any list, whatever the model thinks."""
    width = max(1, *inputs["k"])
    assert all(value.shape[:2] == (len(inputs["k"]), width) for name, value in answer.items() if name != "count")
    for row, found in enumerate(lists(answer)):
        refused = {*inputs["history"][row], *inputs["exclude"][row]}
        allowed = set(INDEXED) - refused
        assert set(found) <= allowed
        assert len(found) == len(set(found)) == min(max(inputs["k"][row], 0), len(allowed))
        assert (answer["items"][row, len(found) :] == b"").all()
        assert (answer["scores"][row, len(found) :] == 0).all()
        assert np.isfinite(answer["scores"][row]).all()
        filled = answer["filled"][row]
        assert not filled[len(found) :].any()
        assert (np.diff(filled[: len(found)].astype(int)) >= 0).all()
        assert (answer["scores"][row][filled] == 0).all()
        assert np.isfinite(answer["retrieval"][row]).all()
        assert (answer["retrieval"][row, len(found) :] == 0).all()
        reasons = {item.decode() for item in answer["because"][row, : len(found)]}
        assert reasons <= ({*inputs["history"][row]} & {*IDS} or {""})
        assert (answer["because"][row, len(found) :] == b"").all()
        taken = [item for item, was in zip(found, filled, strict=False) if was]
        chosen = set(found) - set(taken)
        spare = [item for item in popular_order(small) if item not in refused | chosen]
        assert taken == spare[: len(taken)]


@given(st.lists(st.tuples(some_ids, some_ids, st.integers(-1, 40)), min_size=1, max_size=4), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_a_list_holds_indexed_items_once_and_none_that_was_seen_or_excluded(each, requests, seed):
    histories, exclude, k = zip(*requests, strict=True)
    inputs = inputs_of(histories, k, exclude, seed)
    check_list(each, each.call("recommend", inputs), inputs)


@pytest.mark.parametrize("k", [1, 19, 20, 21, 30, 31, len(INDEXED) - 1, len(INDEXED), ITEMS, 400])
def test_k_beyond_the_pool_the_candidates_and_the_catalogue(each, k):
    inputs = inputs_of([["i20", "i21"], []], k=k)
    answer = each.call("recommend", inputs)
    check_list(each, answer, inputs)
    assert not answer["filled"].any()  # the searcher finds every item when all are asked for


def test_each_request_of_a_batch_has_a_k_of_its_own(exact):
    inputs = inputs_of([["i20"]] * 5, k=[3, 12, 0, -4, 1])
    answer = exact.call("recommend", inputs)
    assert answer["count"].tolist() == [3, 12, 0, 0, 1]
    assert answer["items"].shape == (5, 12)
    check_list(exact, answer, inputs)


def test_nobody_asking_for_anything_gets_empty_lists(exact):
    answer = exact.call("recommend", inputs_of([["i20"], []], k=0))
    assert answer["count"].tolist() == [0, 0]
    assert (answer["items"] == b"").all()


@pytest.mark.parametrize("signature", ["recommend", "retrieve"])
def test_nothing_left_is_an_empty_list(each, signature):
    answer = each.call(signature, inputs_of([["i20"]], exclude=[IDS]))
    assert answer["count"].tolist() == [0]
    assert (answer["items"] == b"").all()
    assert (answer["scores"] == 0).all()


def test_the_last_item_left_is_found(each):
    inputs = inputs_of([[]], exclude=[[item for item in IDS if item != "i70"]])
    answer = each.call("recommend", inputs)
    assert lists(answer) == [["i70"]]
    assert not answer["filled"].any()


def test_the_whole_catalogue_as_history(each):
    inputs = inputs_of([IDS, ["i20"]])
    assert each.call("recommend", inputs)["count"].tolist() == [0, 10]


@pytest.mark.parametrize("signature", ["recommend", "retrieve"])
def test_a_request_alone_is_answered_as_in_a_batch(each, signature):
    inputs = inputs_of([["i20", "i21"], [], [f"i{i}" for i in range(40, 60)], ["nobody"]], k=10, seed=3)
    inputs["relevance"] = np.array([0.3, 1, -1, 0], np.float32)
    together = each.call(signature, inputs)
    for row in range(4):
        for name, value in each.call(signature, one(inputs, row)).items():
            if value.dtype == np.float32:
                np.testing.assert_allclose(value[0], together[name][row], rtol=1e-4, atol=1e-4)
            else:
                assert value[0].tolist() == together[name][row].tolist()


@pytest.mark.parametrize("k", [25, 40, 200])
def test_a_request_is_answered_the_same_whatever_its_neighbours_ask_for(exact, k):
    inputs = inputs_of([["i20", "i21"], ["i50"], []], k=[10, 0, k], relevance=np.array([-1, 0, 1], np.float32))
    together, alone = exact.call("recommend", inputs), exact.call("recommend", one(inputs, 0))
    assert lists(together)[0] == lists(alone)[0]
    assert together["because"][0, :10].tolist() == alone["because"][0].tolist()
    for name in ("scores", "retrieval"):
        np.testing.assert_allclose(together[name][0, :10], alone[name][0], rtol=1e-4, atol=1e-4)


def test_a_shorter_list_is_the_start_of_a_longer_one(exact):
    inputs = inputs_of([["i20"], []])
    long, short = (lists(exact.call("recommend", inputs | {"k": np.full(2, k, np.int32)})) for k in (20, 7))
    assert [row[:7] for row in long] == short


@pytest.mark.parametrize("signature", ["recommend", "retrieve"])
def test_an_empty_batch(each, signature):
    answer = each.call(signature, {name: value[:0] for name, value in inputs_of([["i20"]]).items()})
    assert all(len(value) == 0 for value in answer.values())


@pytest.mark.parametrize("name", ["age", "battery", "mood"])
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e38])
def test_a_number_beyond_reason_costs_its_own_request_alone(each, name, value):
    inputs = inputs_of([["i20"], ["i21"], []])
    expected = each.call("recommend", inputs)
    inputs[name][1] = value
    answer = each.call("recommend", inputs)
    check_list(each, answer, inputs)
    assert lists(answer)[0] == lists(expected)[0]
    assert lists(answer)[2] == lists(expected)[2]
    if np.isnan(value):
        assert answer["filled"][1].all()


def test_a_request_that_says_nothing_of_itself_is_answered(each):
    nothing = strings([""])
    inputs = inputs_of([[]], user=nothing, country=nothing, device=nothing)
    check_list(each, each.call("recommend", inputs), inputs)


def test_unknown_users_and_categories_are_all_the_same(exact):
    first = inputs_of([["i20"]], user=strings(["nobody"]), country=strings(["xx"]), device=strings(["?"]))
    second = first | {"user": strings(["u99"]), "country": strings(["at "]), "device": strings(["Phone"])}
    np.testing.assert_array_equal(exact.call("embed_user", first)["vector"], exact.call("embed_user", second)["vector"])


@pytest.mark.parametrize("name", ["user", "country", "age", "device", "battery", "mood", "departure", "time"])
def test_every_feature_of_a_request_is_read(exact, name):
    inputs = inputs_of([["i20", "i21"]], user=strings(["u1"]), country=strings(["at"]), device=strings(["tv"]))
    other = {"user": strings(["u2"]), "country": strings(["be"]), "device": strings(["phone"])}
    step = 40_000 if name in ("departure", "time") else 1
    changed = inputs | {name: other[name] if name in other else inputs[name] + step}
    assert np.abs(exact.call("embed_user", changed)["vector"] - exact.call("embed_user", inputs)["vector"]).max() > 1e-4


# --- each step ----------------------------------------------------------------------------------------------


def brute_force(small: Small, inputs: Arrays) -> np.ndarray:
    """Scores of the whole catalogue [B, N], -inf where an item must not be recommended."""
    vectors = np.concatenate([small.catalogue.static, small.catalogue.trend], axis=1)
    scores = small.call("embed_user", inputs)["vector"] @ vectors.T
    scores[:, sorted(UNINDEXED)] = -np.inf
    for row, ids in enumerate(np.concatenate([inputs["history"], inputs["exclude"]], axis=1)):
        scores[row, [ROW[item] for item in ids if item in ROW]] = -np.inf
    return scores


@pytest.mark.parametrize("k", [1, 10, 30])
def test_retrieve_is_brute_force_over_static_and_trend_vectors(exact, k):
    inputs = inputs_of([["i20", "i21"], [], IDS[40:110]], k=k, exclude=[["i90"], [], []])
    scores = brute_force(exact, inputs)
    answer = exact.call("retrieve", inputs)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    assert lists(answer) == [[IDS[i] for i in row] for row in best]
    np.testing.assert_allclose(answer["scores"], np.take_along_axis(scores, best, axis=1), rtol=1e-4, atol=1e-4)


def test_retrieve_through_scann_finds_nearly_what_brute_force_finds(scann):
    inputs = inputs_of([["i20", "i21"], [], IDS[40:110]], k=20)
    scores = brute_force(scann, inputs)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :20]
    found = lists(scann.call("retrieve", inputs))
    assert all(len(set(row) & {IDS[i] for i in truth}) >= 18 for row, truth in zip(found, best, strict=True))


def test_recommend_is_retrieve_then_rank_then_mmr(exact):
    inputs = inputs_of([["i20", "i21"], [], ["it's", "i77", "i78"]], k=10, seed=4)
    inputs["relevance"] = np.array([-1, 0.3, np.nan], np.float32)
    usual, depth = exact.config.rerank.relevance, exact.config.index.candidates
    candidates = exact.call("retrieve", inputs | {"k": np.full(3, depth, np.int32)})["items"]
    ranked = exact.call("rank", inputs | {"candidates": candidates})
    answer = exact.call("recommend", inputs)
    content = exact.catalogue.static[:, : exact.towers.dimension]
    for row in range(3):
        pool = [item.decode() for item in ranked["items"][row, : exact.config.rerank.pool]]
        scores = ranked["scores"][row, : exact.config.rerank.pool].tolist()
        vectors = content[[ROW[item] for item in pool]].astype(float)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        order = greedy(scores, vectors, [usual, 0.3, usual][row], 10)
        assert lists(answer)[row] == [pool[i] for i in order]
        assert order != list(range(10))  # else the policy would not show
        np.testing.assert_allclose(answer["scores"][row], [scores[i] for i in order], rtol=1e-4, atol=1e-4)


def test_relevance_alone_lists_by_score_and_beyond_1_is_1(exact):
    inputs = {name: value[[0, 0, 0]] for name, value in inputs_of([["i20", "i21"]], k=10).items()}
    depth = np.full(3, exact.config.index.candidates, np.int32)
    candidates = exact.call("retrieve", inputs | {"k": depth})["items"]
    ranked = exact.call("rank", inputs | {"candidates": candidates})
    answer = exact.call("recommend", inputs | {"relevance": np.array([1, 7, np.inf], np.float32)})
    assert lists(answer) == [row[:10] for row in lists(ranked)]
    assert (np.diff(answer["scores"], axis=1) <= 0).all()
    assert lists(exact.call("recommend", inputs))[0] != lists(answer)[0]


def nearest(item: str, rows: list[int], content: np.ndarray) -> str:
    """The id of the row that is nearest to an item by cosine."""
    unit = content / np.linalg.norm(content, axis=1, keepdims=True)
    return IDS[rows[np.argmax(unit[rows] @ unit[ROW[item]])]] if rows else ""


def test_because_names_what_of_the_history_is_most_like_the_item(each):
    long = [f"i{row}" for row in range(20, 32)]
    histories = [["i20", "nobody", "i21", "it's"], [], ["", "nobody"], long, ["i50", ""]]
    answer = each.call("recommend", inputs_of(histories, k=20, seed=8))
    content, named = each.catalogue.static[:, : each.towers.dimension], set()
    for history, items, reasons in zip(histories, lists(answer), answer["because"], strict=True):
        read = [ROW[item] for item in history if item in ROW][-LENGTH:]
        expected = [nearest(item, read, content) for item in items]
        assert [item.decode() for item in reasons] == expected
        named |= set(expected)
    assert len(named) > 5


def called(module: Recommender, inputs: Arrays) -> Arrays:
    """The answer of `recommend`, without the time it takes to trace it."""
    return {
        name: value.numpy()
        for name, value in module.recommend({name: tf.constant(value) for name, value in inputs.items()}).items()
    }


def test_an_item_that_was_taken_before_is_its_own_reason(exact):
    kept = Recommender(seeing("keep"), exact.module._models, exact.catalogue)
    answer = called(kept, inputs_of([["i20", "i21"]], k=ITEMS))
    reasons = dict(zip(answer["items"][0], answer["because"][0], strict=True))
    assert (reasons[b"i20"], reasons[b"i21"]) == (b"i20", b"i21")


def test_what_is_liked_is_no_reason(exact):
    answer = exact.call("recommend", inputs_of([[], ["i20"]], likes=padded([["genre=drama"]] * 2)))
    assert [{*row.tolist()} for row in answer["because"]] == [{b""}, {b"i20"}]


def test_retrieval_is_the_towers_score_of_places_that_popularity_filled_too(exact):
    inputs = inputs_of([["i20", "i21"], [], ["it's"]], k=[10, 3, 6], seed=9)
    scores, ranker = brute_force(exact, inputs), exact.module.ranker_items.numpy()
    for side in (ranker, np.full_like(ranker, np.nan)):  # without the ranker popularity fills every place
        exact.module.ranker_items.assign(side)
        try:
            answer = called(exact.module, inputs)
        finally:
            exact.module.ranker_items.assign(ranker)
        assert answer["filled"].any() == np.isnan(side).any()
        for row, items in enumerate(lists(answer)):
            expected = [scores[row, ROW[item]] for item in items]
            np.testing.assert_allclose(answer["retrieval"][row, : len(items)], expected, rtol=1e-4, atol=1e-4)


def test_rank_scores_candidates_with_the_ranker(exact):
    inputs = inputs_of([["i20", "i21"], []], seed=5)
    batch, rows = batch_of(exact.config, exact.fitted, inputs), np.array([[3, 50, 70], [9, 70, 4]])
    vectors = np.concatenate([exact.catalogue.static, exact.catalogue.trend], axis=1)
    retrieval = np.einsum("bd,bcd->bc", exact.call("embed_user", inputs)["vector"], vectors[rows])
    order = np.argsort(-retrieval, axis=1)
    rows, retrieval = np.take_along_axis(rows, order, axis=1), np.take_along_axis(retrieval, order, axis=1)
    side, trend = exact.catalogue.ranker, exact.catalogue.trend
    scores = exact.ranker.score(batch, side[batch["item"]], side[rows], trend[rows], retrieval).numpy()
    best = np.argsort(-scores, axis=1)
    answer = exact.call("rank", inputs | {"candidates": strings(IDS)[rows]})
    assert lists(answer) == [[IDS[i] for i in row] for row in np.take_along_axis(rows, best, axis=1)]
    np.testing.assert_allclose(answer["scores"], np.take_along_axis(scores, best, axis=1), rtol=1e-4, atol=1e-4)


def test_rank_does_not_care_in_which_order_candidates_come(exact):
    ids = ["i33", "it's", "i50", "i14", "i99"]  # i14 is not indexed, but may be asked about
    inputs = inputs_of([["i20"]] * 2) | {"candidates": strings([ids, ids[::-1]])}
    inputs |= {name: value[[0, 0]] for name, value in inputs.items() if name != "candidates"}
    answer = exact.call("rank", inputs)
    assert lists(answer)[0] == lists(answer)[1]
    assert sorted(lists(answer)[0]) == sorted(ids)
    np.testing.assert_allclose(*answer["scores"], rtol=1e-4)
    assert (np.diff(answer["scores"][0]) <= 0).all()


def test_rank_drops_unknown_candidates_and_padding(exact):
    plain = inputs_of([["i20"]] * 3)
    inputs = plain | {"candidates": strings([["", "i50", "nobody", "i51"], [""] * 4, ["i51", "i50", "", ""]])}
    inputs |= {name: value[[0, 0, 0]] for name, value in plain.items()}
    answer = exact.call("rank", inputs)
    assert answer["count"].tolist() == [2, 0, 2]
    assert lists(answer)[0] == lists(answer)[2]
    assert (answer["items"][1] == b"").all()
    assert (answer["scores"][1] == 0).all()


def test_rank_gives_no_score_that_is_no_number(exact):
    inputs = inputs_of([["i20"], ["i20"]]) | {"candidates": strings([["i50", "i51"]] * 2)}
    inputs["age"][1] = np.nan
    answer = exact.call("rank", inputs)
    assert answer["count"].tolist() == [2, 0]
    assert np.isfinite(answer["scores"]).all()


def test_no_candidates_to_rank(exact):
    answer = exact.call("rank", inputs_of([["i20"]]) | {"candidates": np.empty((1, 0), object)})
    assert answer["items"].shape == (1, 0)
    assert answer["count"].tolist() == [0]


def test_embed_user_is_the_query_tower(exact):
    inputs = inputs_of([["i20", "nobody", "i21"], [], IDS[40:50]], seed=6)
    batch = batch_of(exact.config, exact.fitted, inputs)
    content = exact.catalogue.static[:, : exact.towers.dimension]
    expected = exact.towers.query_vectors(batch, tf.gather(content, batch["item"]))
    np.testing.assert_allclose(exact.call("embed_user", inputs)["vector"], expected, rtol=1e-4, atol=1e-5)


def test_embed_item_of_an_item_of_the_catalogue_is_its_static_vector(exact):
    np.testing.assert_allclose(
        exact.call("embed_item", exact.items)["vector"], exact.catalogue.static, rtol=1e-4, atol=1e-5
    )


def test_embed_item_of_a_new_item_is_the_item_tower(exact):
    new = {name: value[:2] for name, value in exact.items.items()}
    new |= {"item_id": strings(["new", ""]), "tags": strings(["z|a", ""]), "text": strings(["big unheard", "?"])}
    encoded = encode(Preprocess(exact.config.on("items"), exact.fitted), new)
    expected = exact.towers.items({name: tf.constant(value) for name, value in encoded.items()})
    np.testing.assert_allclose(exact.call("embed_item", new)["vector"], expected, rtol=1e-4, atol=1e-5)


def test_embed_item_reads_text_without_spaces(exact):
    """赤い and い靴 are known, of 小さな赤い靴."""
    texts = strings(["赤い靴", "「赤い靴」", "赤い、い靴", "緑の鞄", "青の鞄"])
    same = {name: np.repeat(value[:1], len(texts), axis=0) for name, value in exact.items.items()}
    known, quoted, apart, *unknown = exact.call("embed_item", same | {"text": texts})["vector"]
    np.testing.assert_array_equal(known, quoted)
    np.testing.assert_allclose(known, apart, rtol=1e-5)
    np.testing.assert_allclose(*unknown, rtol=1e-5)
    assert np.abs(known - unknown[0]).max() > 0.01


def similar_inputs(items, k, exclude=()):
    lengths = np.broadcast_to(np.array(k, np.int32), len(items))
    excluded = padded(exclude or [[] for _ in items])
    return {"item": strings(items), "exclude": excluded, "k": lengths, **no_filters(len(items))}


@pytest.mark.parametrize("k", [1, 10, 400])
def test_similar_items_are_the_nearest_by_cosine_without_the_item_itself(each, k):
    asked = ["i20", "i50", IDS[next(iter(UNINDEXED))]]
    answer = each.call("similar_items", similar_inputs(asked, k))
    content = each.catalogue.static[:, : each.towers.dimension]
    content = content / np.linalg.norm(content, axis=1, keepdims=True)
    for row, item in enumerate(asked):
        cosine = content @ content[ROW[item]]
        others = sorted((other for other in INDEXED if other != item), key=lambda other: -cosine[ROW[other]])[:k]
        assert lists(answer)[row] == others
        np.testing.assert_allclose(answer["scores"][row][: len(others)], [cosine[ROW[i]] for i in others], rtol=1e-4)


def test_similar_items_leave_out_what_is_excluded_and_know_nothing_of_the_unknown(each):
    first = lists(each.call("similar_items", similar_inputs(["i20"], 5)))[0]
    answer = each.call("similar_items", similar_inputs(["i20", "nobody", ""], 4, [[first[0], "nobody"], [], []]))
    assert lists(answer) == [first[1:], [], []]


@pytest.mark.parametrize("k", [5, 400])
def test_a_list_that_the_ranker_cannot_score_is_filled_from_what_the_filters_leave(each, k):
    plain = inputs_of([["i20", "i21"]], k, filter_stock=strings([["no"]]))
    beyond = plain | {"battery": np.array([3e38], np.float32)}
    (found,), (expected,) = (lists(each.call("recommend", inputs)) for inputs in (beyond, plain))
    assert len(found) == len(expected) == len(set(found))
    if k == 400:
        assert set(found) == set(expected)


# --- parts --------------------------------------------------------------------------------------------------


def test_fill_takes_the_most_popular_that_are_neither_seen_nor_listed():
    rows, seen = tf.constant([[5, 2, -1, -1], [1, 2, 3, 4], [-1, -1, -1, -1]]), tf.constant([[7, -1], [0, -1], [-1, 8]])
    full, filled = fill(rows, rows, tf.constant([7, 2, 8, 9, 1]), tf.constant(4), lambda spare: ~contains(seen, spare))
    assert full.numpy().tolist() == [[5, 2, 8, 9], [1, 2, 3, 4], [7, 2, 9, 1]]
    assert filled.numpy().tolist() == [[False, False, True, True], [False] * 4, [True] * 4]


def test_fill_takes_what_was_retrieved_after_what_is_popular_and_nothing_twice():
    rows, retrieved = tf.constant([[5, -1, -1, -1]]), tf.constant([[8, 5, -1, 3]])
    full, _ = fill(rows, retrieved, tf.constant([3, 5, 9]), tf.constant(4), lambda spare: spare >= 0)
    assert full.numpy().tolist() == [[5, 3, 9, 8]]


def test_fill_with_too_little_left_stays_short():
    rows, popular = tf.constant([[5, -1, -1]]), tf.constant([7, 5, 8])
    full, filled = fill(rows, rows, popular, tf.constant(3), lambda spare: spare != 7)
    assert full.numpy().tolist() == [[5, 8, -1]]
    assert filled.numpy().tolist() == [[False, True, False]]


def test_listed_cuts_each_list_to_its_k():
    ids = ItemIds(["a", "b", "c"])
    answer = listed(
        ids,
        tf.constant([[2, 0, 1], [1, -1, -1]]),
        tf.constant([[3.0, 2, 1], [9, -1, -1]]),
        tf.constant([2, 3]),
    )
    assert answer["items"].numpy().tolist() == [[b"c", b"a", b""], [b"b", b"", b""]]
    assert answer["scores"].numpy().tolist() == [[3, 2, 0], [9, 0, 0]]
    assert answer["count"].numpy().tolist() == [2, 1]


@pytest.mark.parametrize("signature", ["recommend", "retrieve", "similar_items"])
def test_a_length_beyond_reason_is_cut(exact, signature):
    """It took all memory, and with it the process that serves."""
    inputs = inputs_of([["i20"]], k=2**31 - 1) | {"item": strings(["i20"])}
    answer = exact.call(signature, inputs)
    assert answer["items"].shape == (1, 1_000)
    usual = exact.call(signature, inputs | {"k": np.array([ITEMS], np.int32)})
    assert lists(answer) == lists(usual)


def test_a_length_beyond_reason_is_cut_by_popularity():
    popular = build_popularity()
    inputs = {name: tf.constant(value) for name, value in inputs_of([["i20"]], k=2**31 - 1).items()}
    assert popular.recommend(inputs)["items"].shape == (1, 1_000)
    assert popular.retrieve(inputs)["items"].shape == (1, 1_000)

"""The popularity bundle's graph."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.load import parse
from serving.likes import Likes
from serving.popularity import PopularityRecommender
from tests.serving import small
from tests.serving.small import COUNTRIES, IDS, ITEMS, inputs_of, lists, one, strings


@pytest.fixture(scope="module")
def popular(exact) -> small.Small:
    return dataclasses.replace(exact, module=small.build_popularity())


def expected(country: str, k: int, refused: set[str]) -> list[str]:
    scores = small.popularity_scores()[COUNTRIES.index(country) if country in COUNTRIES else -1]
    return [IDS[row] for row in np.argsort(-scores, kind="stable") if IDS[row] not in refused][:k]


some_ids = st.lists(st.sampled_from([*IDS, "", "nobody"]), max_size=12)


@given(st.lists(st.tuples(some_ids, some_ids, st.integers(-1, 40)), min_size=1, max_size=4), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_a_list_is_the_segments_most_popular_without_what_was_seen_or_excluded(popular, requests, seed):
    histories, exclude, k = zip(*requests, strict=True)
    inputs = inputs_of(histories, k, exclude, seed)
    answer = popular.call("recommend", inputs)
    assert answer["items"].shape == (len(k), max(1, *k))
    for row, found in enumerate(lists(answer)):
        refused = {*inputs["history"][row], *inputs["exclude"][row]}
        assert found == expected(inputs["country"][row], max(k[row], 0), refused)
        assert answer["filled"][row].tolist() == [True] * len(found) + [False] * (max(1, *k) - len(found))


@pytest.mark.parametrize("country", ["at", "be", "ch", "", "nowhere", "at "])
def test_an_unknown_or_missing_segment_gets_what_is_popular_overall(popular, country):
    found = lists(popular.call("recommend", inputs_of([[]], country=strings([country]))))[0]
    assert found == expected(country, 10, set())
    assert (found == expected("nowhere", 10, set())) == (country not in COUNTRIES)


def test_scores_are_those_of_the_items(popular):
    answer = popular.call("recommend", inputs_of([["i20"]], country=strings(["be"])))
    scores = small.popularity_scores()[1]
    assert answer["scores"][0].tolist() == [scores[IDS.index(item)] for item in lists(answer)[0]]


@pytest.mark.parametrize("signature", ["recommend", "retrieve"])
@pytest.mark.parametrize("k", [ITEMS - 1, ITEMS, ITEMS + 1, 1000])
def test_k_beyond_the_catalogue_ends_in_padding(popular, signature, k):
    answer = popular.call(signature, inputs_of([["i20", "i21", "nobody"], []], k=k))
    assert answer["count"].tolist() == [min(k, ITEMS - 2), min(k, ITEMS)]
    assert answer["items"].shape == answer["scores"].shape == (2, k)
    assert (answer["items"][0, answer["count"][0] :] == b"").all()
    assert (answer["scores"][0, answer["count"][0] :] == 0).all()


def test_everything_seen_is_an_empty_list(popular):
    answer = popular.call("recommend", inputs_of([IDS, []]))
    assert answer["count"].tolist() == [0, 10]


def test_each_request_of_a_batch_has_a_k_and_a_segment_of_its_own(popular):
    inputs = inputs_of([["i20"]] * 4, k=[3, 12, 0, -4], country=strings(["at", "be", "ch", ""]))
    together = popular.call("recommend", inputs)
    assert together["count"].tolist() == [3, 12, 0, 0]
    assert lists(together) == [lists(popular.call("recommend", one(inputs, row)))[0] for row in range(4)]


def test_retrieve_gives_the_same_list(popular):
    inputs = inputs_of([["i20"], []])
    assert lists(popular.call("retrieve", inputs)) == lists(popular.call("recommend", inputs))


@pytest.mark.parametrize("relevance", [0.0, 0.5, 1.0])
def test_whatever_relevance_weighs_the_list_is_the_same(popular, relevance):
    inputs = inputs_of([["i20"], []])
    asked = inputs | {"relevance": np.full(2, relevance, np.float32)}
    assert lists(popular.call("recommend", asked)) == lists(popular.call("recommend", inputs))


def test_an_empty_batch(popular):
    answer = popular.call("recommend", {name: value[:0] for name, value in inputs_of([["i20"]]).items()})
    assert all(len(value) == 0 for value in answer.values())


def test_numbers_beyond_reason_do_not_matter(popular):
    inputs = inputs_of([["i20"]])
    answer = popular.call("recommend", inputs | {"age": np.array([np.nan], np.float32)})
    assert lists(answer) == lists(popular.call("recommend", inputs))


@pytest.mark.parametrize("segment", ["country", None])
def test_overall_popularity_alone(exact, segment):
    config = parse(small.CONFIG | {"data": small.CONFIG["data"] | {"segment": segment}})
    module = PopularityRecommender(
        config, IDS, small.popularity_scores()[-1:], [], Likes([], np.zeros((ITEMS, 0), np.int32))
    )
    found = lists(dataclasses.replace(exact, module=module).call("recommend", inputs_of([[], ["i20"]])))
    assert found == [expected("", 10, set()), expected("", 10, {"i20"})]


def test_what_was_taken_is_listed_again_where_the_config_keeps_it(exact):
    kept = dataclasses.replace(exact, module=small.build_popularity("keep"))
    best = expected("at", 5, set())
    inputs = inputs_of([best[:2]], exclude=[best[2:3]], country=strings(["at"]))
    found = lists(kept.call("recommend", inputs))[0]
    assert found[:4] == [*best[:2], *best[3:5]]

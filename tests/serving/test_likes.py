"""What a new user says they like: read as a history, never as seen, and first in popularity's list."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from serving.bundle import load_bundle
from serving.inputs import RequestError
from serving.likes import Likes, choices
from tests.serving import small
from tests.serving.small import COUNTRIES, IDS, ITEMS, inputs_of, liked_values, limits, lists, padded, strings

LIKES = Likes(["a=x", "a=y", "b=z"], np.array([[0, 2], [1, -1], [0, -1], [-1, -1], [0, 1]]))


@pytest.fixture(scope="module")
def popular(exact) -> small.Small:
    return dataclasses.replace(exact, module=small.build_popularity())


def liked(exact: small.Small, name: str) -> list[str]:
    """Items that have a value, from most to least popular, among those that may be recommended."""
    values = liked_values(exact.items)
    return [IDS[row] for row in exact.catalogue.popular if name in values[row]]


def test_representatives_are_the_most_popular_with_the_best_last():
    found = LIKES.representatives(np.array([4, 2, 3, 0, 1]), count=2)
    assert found.tolist() == [[2, 4], [1, 4], [-1, 0]]
    assert LIKES.representatives(np.array([1, 3]), count=2).tolist() == [[-1, -1], [-1, 1], [-1, -1]]
    assert Likes([], np.zeros((5, 0), np.int32)).representatives(np.arange(5)).shape == (0, 5)


@pytest.fixture(scope="module")
def with_means(exact) -> small.Small:
    """The same recommender, in which the items i50 and i51 are what liked dramas and what liked tags c are like."""
    found = small.build()
    for item, name in (("i50", "genre=drama"), ("i51", "tags=c")):
        rows = [IDS.index(one) for one in liked(found, name)[:5]]
        for table in (found.module.retrieval.static, found.module.ranker_items):
            values = table.numpy()
            values[IDS.index(item)] = values[rows].mean(axis=0)
            table.assign(values)
    return found


def same(found: small.Small, one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    """Whether two requests lead to one query vector and to the same scores of the ranker."""
    asked, candidates = {}, strings([IDS[:9]] * len(one["time"]))
    for signature, name in (("embed_user", "vector"), ("rank", "scores")):
        asked[signature] = [found.call(signature, inputs | {"candidates": candidates})[name] for inputs in (one, other)]
    return all(np.allclose(*pair, atol=1e-5) for pair in asked.values())


def test_a_like_is_read_as_the_mean_of_its_representatives_ahead_of_the_history(with_means):
    inputs = inputs_of([["i20", "i21"]], likes=padded([["genre=drama"]]))
    times = np.concatenate([[[inputs["history_time"].min()]], inputs["history_time"]], axis=1)
    written_out = inputs | no_likes(1) | {"history": strings([["i50", "i20", "i21"]]), "history_time": times}
    assert same(with_means, inputs, written_out)
    assert not same(with_means, inputs, inputs | no_likes(1))


def no_likes(rows: int) -> dict[str, np.ndarray]:
    return {"likes": np.empty((rows, 0), object)}


def test_without_a_history_a_like_is_as_old_as_the_request(with_means):
    inputs = inputs_of([[]], likes=padded([["tags=c"]]))
    assert same(
        with_means,
        inputs,
        inputs | no_likes(1) | {"history": strings([["i51"]]), "history_time": inputs["time"][None]},
    )


def test_each_of_several_likes_is_one_entry_and_what_nobody_has_is_none(with_means):
    likes = padded([["", "tags=c", "colour=red", "genre=drama"]])
    written_out = {"history": strings([["i51", "i50"]])}
    inputs = inputs_of([[]], likes=likes)
    written_out["history_time"] = np.tile(inputs["time"], (1, 2))
    assert same(with_means, inputs, inputs | no_likes(1) | written_out)


@pytest.mark.parametrize("signature", ["recommend", "retrieve"])
def test_what_stands_for_a_like_may_be_recommended(exact, signature):
    stand_ins = liked(exact, "genre=drama")[:5]
    everything = inputs_of([["i20"]], k=ITEMS, likes=padded([["genre=drama"]]))
    found = lists(exact.call(signature, everything))[0]
    assert set(stand_ins) - {"i20"} <= set(found)
    assert "i20" not in found


@pytest.mark.parametrize("module", ["exact", "popular"])
def test_without_likes_nothing_changes_whatever_the_neighbours_like(module, request):
    found = request.getfixturevalue(module)
    inputs = inputs_of([["i20", "i21"], [], ["nobody"]], k=10, seed=3)
    with_neighbour = inputs | {"likes": padded([[], ["genre=drama", "tags=b"], ["", "genre=nothing"]])}
    expected, answer = (found.call("recommend", one | {}) for one in (inputs, with_neighbour))
    for row in (0, 2):
        assert lists(answer)[row] == lists(expected)[row]
        np.testing.assert_array_equal(answer["scores"][row], expected["scores"][row])
    assert lists(answer)[1] != lists(expected)[1]


def test_popularity_lists_what_matches_most_likes_first(popular, exact):
    inputs = inputs_of([["i20"]], k=ITEMS, likes=padded([["genre=drama", "tags=b"]]), country=strings(["at"]))
    scores, values = small.popularity_scores()[COUNTRIES.index("at")], liked_values(exact.items)
    matches = np.array([len({"genre=drama", "tags=b"} & one) for one in values])
    expected = [IDS[row] for row in np.lexsort((-scores, -matches)) if IDS[row] != "i20"]
    answer = popular.call("recommend", inputs)
    assert lists(answer)[0] == expected
    assert answer["scores"][0, : len(expected)].tolist() == [scores[IDS.index(item)] for item in expected]


def test_popularity_gives_no_place_to_what_is_not_eligible_however_much_it_is_liked(exact):
    values = liked_values(exact.items)
    drama = np.array(["genre=drama" in one for one in values])
    left = np.flatnonzero(drama)[:4]
    scores = np.where(drama & ~np.isin(np.arange(ITEMS), left), -np.inf, small.popularity_scores())
    module = small.PopularityRecommender(exact.config, IDS, scores, COUNTRIES, small.likes_of(exact.items))
    inputs = inputs_of([[]], likes=padded([["genre=drama"]]), country=strings([""]))
    found = lists(dataclasses.replace(exact, module=module).call("recommend", inputs))[0]
    others = [row for row in np.argsort(-scores[-1], kind="stable") if row not in left]
    assert found == [IDS[row] for row in [*left[np.argsort(-scores[-1, left])], *others[:6]]]


# --- through a bundle ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bundle(exact_bundle):
    return load_bundle(exact_bundle)


def ids(found: list) -> list[str]:
    return [place.item for place in found]


def test_a_bundle_takes_values_and_items(exact, bundle):
    found = ids(bundle.recommend(likes=["genre=drama", "i50"], k=10))
    request = bundle.request(likes=["genre=drama", "i50"])
    assert (request["likes"].tolist(), request["history"].tolist()) == ([["genre=drama"]], [["i50"]])
    assert request["history_time"].tolist() == [request["time"].tolist()]
    answer = exact.call("recommend", request | limits(10) | bundle.inputs.reranking())
    assert found == lists(answer)[0]
    assert "i50" not in found
    assert found != ids(bundle.recommend(k=10))


def test_chosen_items_come_after_what_is_stored(bundle):
    assert bundle.request("u1", likes=["i50"])["history"].tolist() == [["i20", "i21", "it's", "i50"]]


@pytest.mark.parametrize(
    ("like", "expected"),
    [
        ("colour=red", "an item's id, or FEATURE=VALUE with FEATURE one of genre, tags"),
        ("drama", "an item's id, or FEATURE=VALUE with FEATURE one of genre, tags"),
        ("genre=", "one of genre=comedy, genre=drama"),
        ("genre=Drama", "one of genre=comedy, genre=drama"),
        ("tags=a|b", "one of tags=a, tags=b, tags=c"),
        (7, "an item's id, or FEATURE=VALUE"),
    ],
)
def test_what_cannot_be_liked_is_refused_with_what_can(bundle, like, expected):
    with pytest.raises(RequestError) as error:
        bundle.recommend(likes=["tags=a", like])
    assert str(error.value).startswith(f"likes: found {like!r}, expected {expected}")
    assert "\n" not in str(error.value)


def test_a_text_is_no_list_of_likes(bundle):
    with pytest.raises(RequestError, match="likes: found the text 'tags=a', expected a list"):
        bundle.recommend(likes="tags=a")


def test_many_values_are_not_all_listed():
    names = [f"brand={i:03}" for i in range(100)]
    assert choices("brand=x", names).endswith("brand=019 and 80 more")
    assert choices("x", []) == "an item's id, or FEATURE=VALUE with FEATURE one of (there are none)"


def test_a_bundle_that_takes_no_likes_says_so_and_answers_without(exact_bundle, tmp_path):
    found = load_bundle(exact_bundle)
    inputs = dict(found.manifest["signatures"]["recommend"]["inputs"])
    del inputs["likes"]
    found.manifest["signatures"]["recommend"]["inputs"] = inputs
    assert "likes" not in found.request("u1")
    with pytest.raises(RequestError, match="takes none, as older versions did not; export the run again"):
        found.recommend("u1", likes=["tags=a"])


def test_a_popularity_bundle_takes_likes(popular, tmp_path):
    found = load_bundle(small.export(popular, tmp_path / "p"))
    assert ids(found.recommend(likes=["tags=c"], k=5)) != ids(found.recommend(k=5))

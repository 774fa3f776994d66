import math

import numpy as np
import pandas as pd
import pytest

from configs.features import CategoryFeature, MultiCategoryFeature, NumberFeature, TextFeature
from pipelines.baselines.content import Content
from pipelines.baselines.terms import CATEGORIES, WORDS, documents, indicators
from tests.pipelines.baselines.worlds import NOW, events, requests

FEATURES = (
    TextFeature(name="title", table="items", kind="text"),
    CategoryFeature(name="maker", table="items", kind="category"),
    MultiCategoryFeature(name="genres", table="items", kind="multi_category"),
    NumberFeature(name="price", table="items", kind="number"),
)
TABLE = pd.DataFrame(
    {
        "title": ["Toy, Story", "", None],
        "maker": ["Big Co", "", "b"],
        "genres": ["a|b c", "a", None],
        "price": [1, 2, 3],
    }
)


def test_documents_name_the_feature_of_a_category():
    assert documents(TABLE, FEATURES, WORDS) == ["Toy Story maker=Big_Co genres=a genres=b_c", "genres=a", "maker=b"]
    assert documents(TABLE, FEATURES, CATEGORIES) == ["maker=Big_Co genres=a genres=b_c", "genres=a", "maker=b"]
    assert documents(TABLE, FEATURES[3:], WORDS) == ["", "", ""]


def test_texts_without_spaces_share_pairs_of_characters():
    table = pd.DataFrame({"title": ["赤い靴の箱", "赤い靴", "黒い鞄", "Don't-go"]})
    assert documents(table, FEATURES[:1], WORDS) == ["赤い い靴 靴の の箱", "赤い い靴", "黒い い鞄", "Don t go"]
    content = Content(documents(table, FEATURES[:1], WORDS))
    content.fit(events([(0, 0, 1), (0, 2, 2)]), 1, 4, NOW)
    found = content.scores(requests([(0, [0])]))[0]
    assert found[1] > 0.5 > found[2]  # never taken, and placed by its text


def test_indicators():
    found = indicators(["x=a y=b", "", "x=a x=a"])
    assert found.toarray().tolist() == [[1, 1], [0, 0], [1, 0]]
    assert indicators(["", ""]).shape == (2, 0)


def test_cosine_by_hand():
    # Items 0, 1 and 2 were taken; of these "red" describes two and "car" two, "bus" one. scikit-learn's idf is
    # 1 + ln((1 + 3) / (1 + df)). Item 3 was never taken: "moon" is unknown, and so its vector is red alone.
    content = Content(["red car", "red bus", "car", "red moon", "moon"])
    content.fit(events([(0, 0, 1), (0, 1, 2), (0, 2, 3)]), 1, 5, NOW)
    red = car = 1 + math.log(4 / 3)
    bus = 1 + math.log(4 / 2)
    length = math.hypot(red, bus)
    found = content.scores(requests([(-1, [0])]))[0]
    assert found == pytest.approx([1, red / length / math.sqrt(2), 1 / math.sqrt(2), 1 / math.sqrt(2), 0], abs=2e-6)
    # A profile is the mean of its items' vectors, each of length 1.
    profile = np.array([red / length, bus / length, 0]) + np.array([0, 0, 1])  # red, bus, car
    profile /= np.linalg.norm(profile)
    vectors = np.array([[car, 0, car], [red, bus, 0], [0, 0, car], [red, 0, 0], [0, 0, 0]])
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    assert content.scores(requests([(0, [1, 2, 2])]))[0] == pytest.approx(vectors @ profile, abs=2e-6)


def test_phrases_count_with_ngrams():
    found = []
    for ngrams in (1, 2):
        content = Content(["a b", "b a", "a b"], ngrams=ngrams)
        content.fit(events([(0, 0, 1), (0, 1, 2), (0, 2, 3)]), 1, 3, NOW)
        found.append(content.scores(requests([(0, [0])]))[0])
    assert found[0][1] == pytest.approx(1, abs=1e-5)
    assert found[1][1] < 0.9


def test_nothing_in_common_is_popularity():
    content = Content(["a", "b", "", "b"])
    content.fit(events([(0, 0, 1), (0, 1, 2), (0, 2, 3), (1, 2, 4)]), 2, 4, NOW)
    assert content.scores(requests([(0, [0])]))[0].argsort()[::-1].tolist() == [0, 2, 1, 3]
    assert content.scores(requests([(0, [2])]))[0].argmax() == 2

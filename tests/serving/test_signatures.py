"""The inputs of a served model."""

from __future__ import annotations

import pytest

from configs.load import parse
from serving.manifest import verify
from serving.signatures import (
    feature_spec,
    item_specs,
    list_specs,
    reads_request_time,
    recommend_specs,
    request_specs,
)
from tests.serving.small import CONFIG
from towers.backend import tf

LIMITS = {"exclude", "k", "filter_stock", "filter_region"}
FEATURES = {feature.name: feature for feature in parse(CONFIG).features}


@pytest.mark.parametrize(
    ("name", "dtype", "shape"),
    [
        ("item_id", tf.string, [None]),
        ("genre", tf.string, [None]),
        ("tags", tf.string, [None]),
        ("text", tf.string, [None]),
        ("price", tf.float32, [None]),
        ("image", tf.float32, [None, 3]),
        ("departure", tf.int64, [None]),
    ],
)
def test_raw_inputs_of_each_kind(name, dtype, shape):
    assert feature_spec(FEATURES[name]) == tf.TensorSpec(shape, dtype, name)


def test_a_request_names_its_features_its_time_and_its_history():
    assert set(request_specs(parse(CONFIG))) == {
        *("user", "country", "age", "device", "battery", "mood", "departure"),
        *("time", "history", "history_time", "likes"),
    }


def test_a_list_adds_what_must_not_be_in_it_and_how_long_it_may_be():
    config = parse(CONFIG)
    assert set(list_specs(config)) - set(request_specs(config)) == LIMITS


def test_a_reranked_list_adds_what_its_scores_weigh():
    config = parse(CONFIG)
    assert set(recommend_specs(config)) - set(list_specs(config)) == {"relevance"}


def test_items_are_described_by_their_features_alone():
    assert list(item_specs(parse(CONFIG))) == ["item_id", "genre", "tags", "price", "text", "image"]


def test_every_input_begins_with_the_batch_and_has_its_name():
    config = parse(CONFIG)
    for name, spec in {**recommend_specs(config), **item_specs(config)}.items():
        assert spec.shape[0] is None
        assert spec.name == name


def test_a_time_without_a_column_is_the_requests_own():
    assert [name for name, feature in FEATURES.items() if reads_request_time(feature)] == ["clock"]


def test_a_config_without_queries_or_events_still_takes_time_and_history():
    config = parse(CONFIG | {"features": CONFIG["features"][:1], "data": CONFIG["data"] | {"segment": None}})
    assert set(request_specs(config)) == {"time", "history", "history_time", "likes"}


def test_the_exported_signatures_take_and_give_what_is_promised(exact_bundle):
    table = verify(exact_bundle)["signatures"]
    config = parse(CONFIG)
    assert set(table) == {"recommend", "retrieve", "rank", "embed_user", "embed_item", "similar_items"}
    assert set(table["recommend"]["inputs"]) == set(recommend_specs(config))
    assert set(table["retrieve"]["inputs"]) == set(list_specs(config))
    assert set(table["rank"]["inputs"]) == {*request_specs(config), "candidates"}
    assert set(table["recommend"]["outputs"]) == {*("items", "scores", "count", "filled"), *("retrieval", "because")}
    assert set(table["retrieve"]["outputs"]) == set(table["rank"]["outputs"]) == {"items", "scores", "count"}
    assert set(table["similar_items"]["inputs"]) == {"item", *LIMITS}
    assert set(table["similar_items"]["outputs"]) == {"items", "scores", "count"}
    for name, spec in recommend_specs(config).items():
        described = table["recommend"]["inputs"][name]
        assert (described["dtype"], described["shape"]) == (spec.dtype.name, spec.shape.as_list())

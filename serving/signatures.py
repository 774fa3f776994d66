"""What a served model takes: the inputs of each signature, derived from the features of the config.

Every input begins with the batch. Histories, likes, exclusions and filters are padded with "" to any length. A list has
at most a thousand items, or `index.candidates` or `rerank.pool` where they are more; `k` beyond that is read as that.
"""

from __future__ import annotations

from collections.abc import Mapping

from configs.data import FILTER
from configs.features import Feature
from configs.schema import Config
from towers.backend import tf

_STRINGS = ("id", "category", "multi_category", "text")
_LONGEST = 1_000  # items of a list, unless more candidates are fetched anyhow: what a list costs grows with its square


def feature_spec(feature: Feature) -> tf.TensorSpec:
    """The raw input of one feature, [B] or [B, width]."""
    if feature.kind in _STRINGS:
        return tf.TensorSpec([None], tf.string, feature.name)
    if feature.kind == "vector":
        return tf.TensorSpec([None, feature.width], tf.float32, feature.name)
    if feature.kind == "time":
        return tf.TensorSpec([None], tf.int64, feature.name)
    return tf.TensorSpec([None], tf.float32, feature.name)


def request_specs(config: Config) -> dict[str, tf.TensorSpec]:
    """Who asks: query features, request context, the request's time, the history, and what is said to be liked."""
    features = [*config.on("queries"), *(f for f in config.on("events") if not reads_request_time(f))]
    specs = {feature.name: feature_spec(feature) for feature in features}
    return specs | {
        "time": tf.TensorSpec([None], tf.int64, "time"),
        "history": tf.TensorSpec([None, None], tf.string, "history"),
        "history_time": tf.TensorSpec([None, None], tf.int64, "history_time"),
        "likes": tf.TensorSpec([None, None], tf.string, "likes"),
    }


def list_specs(config: Config) -> dict[str, tf.TensorSpec]:
    """A request for a list: who asks, what must not be in it, and how long it may be."""
    return request_specs(config) | _limits(config)


def recommend_specs(config: Config) -> dict[str, tf.TensorSpec]:
    """A request for a reranked list: also how much its scores weigh against its diversity, in [0, 1].

    Below 0 and NaN stand for the config's `rerank.relevance`.
    """
    return list_specs(config) | {"relevance": tf.TensorSpec([None], tf.float32, "relevance")}


def similar_specs(config: Config) -> dict[str, tf.TensorSpec]:
    """What items are like a given one: its id, what must not be in the list, and how long it may be."""
    return {"item": tf.TensorSpec([None], tf.string, "item"), **_limits(config)}


def bounded(inputs: Mapping[str, tf.Tensor], config: Config) -> dict[str, tf.Tensor]:
    """The inputs of a list with no `k` beyond reason: one number must not take all memory, and the process with it."""
    longest = max(_LONGEST, config.index.candidates, config.rerank.pool)
    return {**inputs, "k": tf.minimum(inputs["k"], longest)}


def _limits(config: Config) -> dict[str, tf.TensorSpec]:
    """What may be in a list: exclude, k, and for each filter the values of which an item must have one."""
    names = ["exclude", *(FILTER + name for name in config.data.items.filters)]
    specs = {name: tf.TensorSpec([None, None], tf.string, name) for name in names}
    return specs | {"k": tf.TensorSpec([None], tf.int32, "k")}


def item_specs(config: Config) -> dict[str, tf.TensorSpec]:
    """Raw item features."""
    return {feature.name: feature_spec(feature) for feature in config.on("items")}


def reads_request_time(feature: Feature) -> bool:
    """Whether a feature is computed from the request's own time, and so is no input."""
    return feature.kind == "time" and feature.column is None

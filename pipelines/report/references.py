"""Values measured elsewhere: they say whether our baselines are as strong as others'."""

from __future__ import annotations

from configs.schema import Config
from configs.stages import Split

# Measured outside of this project under the published protocol (5-core items, cut at the 0.9 time quantile, full
# ranking), by name of the config: NDCG@10 and recall@100 of each method.
_REFERENCES: dict[str, dict[str, tuple[float, float]]] = {
    "movielens-1m": {
        "popularity": (0.254, 0.229),
        "popularity 7d": (0.281, 0.231),
        "popularity 30d": (0.274, 0.249),
        "item-kNN": (0.259, 0.211),
        "ALS": (0.247, 0.242),
        "BPR": (0.178, 0.179),
        "EASE": (0.269, 0.262),
    },
}
_METRICS = ("ndcg@10", "recall@100")
_PROTOCOL = ("movielens-1m", 5, 0, "filter", Split(), 100, 10)


def reference_values(config: Config) -> dict[str, dict[str, float]]:
    """Published-protocol values by contender and metric; empty where data or protocol are others."""
    data, gate = config.data, config.gate
    protocol = (data.source, data.min_item_events, data.min_query_events, data.seen_items, config.split)
    if (*protocol, gate.k, gate.list_k) != _PROTOCOL:
        return {}
    found = _REFERENCES.get(config.name, {})
    return {name: dict(zip(_METRICS, values, strict=True)) for name, values in found.items()}

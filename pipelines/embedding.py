"""Rows of an item table as a published bundle sees them: what its towers make of them, and which may be shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from configs.errors import UserError
from configs.schema import Config
from pipelines.feature_columns import columns_of
from serving.bundle import Bundle

_BLOCK = 1024  # items embedded at a time


def refuse_without_towers(what: str, manifest: Mapping[str, Any], version: str) -> None:
    """Raises: UserError for a bundle that cannot embed items, as those of popularity and of older exports cannot."""
    if "ranker" not in manifest["signatures"].get("embed_item", {"outputs": ()})["outputs"]:
        raise UserError(
            f"{what}: {version} holds no towers that embed items; expected a bundle of a model, exported anew"
        )


def embedded(
    what: str, bundle: Bundle, table: pd.DataFrame, advance: Callable[[int], None] = lambda items: None
) -> dict[str, np.ndarray]:
    """What `embed_item` makes of the rows: vector [n, d + 1] and ranker [n, h]; `advance` is called with how many items
    are done. Raises: UserError where a vector is not finite."""
    outputs = bundle.manifest["signatures"]["embed_item"]["outputs"]
    blocks = [{name: np.zeros((0, outputs[name]["shape"][1]), np.float32) for name in ("vector", "ranker")}]
    for start in range(0, len(table), _BLOCK):
        block = table[start : start + _BLOCK]
        blocks.append(bundle.run("embed_item", columns_of(block, bundle.config.on("items"))))
        advance(len(block))
    found = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    beyond = ~np.logical_and(*(np.isfinite(part).all(axis=1) for part in found.values()))
    if beyond.any():
        item = str(table["item"].iloc[int(beyond.argmax())])
        raise UserError(f"{what}: item {item!r} has features beyond reason: its vector is not finite")
    return found


def available(config: Config, table: pd.DataFrame, now: int) -> np.ndarray:
    """Which rows of an item table may be shown at `now`, [n] bool; without a clock all."""
    if config.data.events.time is None:
        return np.ones(len(table), bool)
    return table["available_from"].to_numpy(np.float64, na_value=-np.inf) <= now

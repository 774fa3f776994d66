"""Encoded tables: what each feature learned of its column, and the numbers the towers read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from configs.features import Feature
from configs.schema import Config
from pipelines.feature_columns import columns_of
from pipelines.tables import Requests
from towers.features import Preprocess, encode, statistics

Counts = dict[str, np.ndarray]


@dataclass(frozen=True)
class Encoded:
    """Feature statistics by name, and the encoded item and query tables, {name: [rows, ...]}."""

    fitted: dict[str, dict[str, Any]]
    items: dict[str, np.ndarray]
    queries: dict[str, np.ndarray]
    context: Preprocess

    def id_counts(self, items: np.ndarray, queries: np.ndarray, config: Config) -> tuple[Counts, Counts]:
        """How often each index of each id feature occurs among the given rows of both tables."""
        return (
            _counts(self.items, items, config.on("items")),
            _counts(self.queries, queries, config.on("queries")),
        )

    def requests(self, requests: Requests) -> dict[str, np.ndarray]:
        """Encoded static and context features of requests, under "static/NAME" and "context/NAME"."""
        inputs = {f"static/{name}": column[requests.query] for name, column in self.queries.items()}
        context = encode(self.context, requests.context)
        return inputs | {f"context/{name}": column for name, column in context.items()}


def encode_tables(
    config: Config,
    items: pd.DataFrame,
    queries: pd.DataFrame,
    context: Mapping[str, np.ndarray],
    known_items: np.ndarray,
    known_queries: np.ndarray,
) -> Encoded:
    """Fit feature statistics, then encode the tables.

    Statistics come from the known rows alone ([rows] bool) and from the `context` columns of the training events,
    so that nothing of later items and queries is learned; ids are listed for all, and which of them count as known is
    told to the model before each fit.
    """
    tables = {"items": columns_of(items, config.on("items")), "queries": columns_of(queries, config.on("queries"))}
    fitted = statistics(config.on("events"), context)
    for name, known in (("items", known_items), ("queries", known_queries)):
        for feature in config.on(name):
            column = tables[name][feature.name]
            fitted |= statistics([feature], {feature.name: column if feature.kind == "id" else column[known]})
    return _encode(config, fitted, tables)


def save(encoded: Encoded, path: Path) -> None:
    """Write what the features learned; the tables are encoded anew on loading."""
    path.write_text(json.dumps(encoded.fitted))


def load(config: Config, items: pd.DataFrame, queries: pd.DataFrame, path: Path) -> Encoded:
    """Read what `save` wrote and encode the tables with it."""
    tables = {
        "items": columns_of(items, config.on("items")),
        "queries": columns_of(queries, config.on("queries")),
    }
    return _encode(config, json.loads(path.read_text()), tables)


def _encode(config: Config, fitted: dict[str, dict[str, Any]], tables: dict[str, dict[str, np.ndarray]]) -> Encoded:
    return Encoded(
        fitted,
        encode(Preprocess(config.on("items"), fitted), tables["items"]),
        encode(Preprocess(config.on("queries"), fitted), tables["queries"]),
        Preprocess(config.on("events"), fitted),
    )


def _counts(table: Mapping[str, np.ndarray], rows: np.ndarray, features: tuple[Feature, ...]) -> Counts:
    return {
        feature.name: np.bincount(table[feature.name][rows], minlength=int(table[feature.name].max()) + 1)
        for feature in features
        if feature.kind == "id"
    }

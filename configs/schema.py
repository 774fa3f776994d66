"""The typed schema of a run: what a TOML file may say, and what each key means.

Every model is frozen and refuses unknown keys; `configs.load` fills them from a file and `--set`.
"""

from __future__ import annotations

from keyword import iskeyword

from pydantic import Field, model_validator

from configs.data import FILTER, Data
from configs.features import Feature
from configs.stages import (
    Baselines,
    Evaluation,
    Freshness,
    Gate,
    Index,
    Mixing,
    Publish,
    Ranker,
    Rerank,
    Rolling,
    Split,
    Towers,
    Train,
    Trend,
)
from configs.tuning import Tune
from configs.units import Section, Seed

# inputs of the served graph, and columns of the prepared tables
_RESERVED = {"time", "history", "history_time", "likes", "exclude", "k", "relevance", "candidates"}
_RESERVED |= {"query", "item", "weight", "kind", "value", "rating", "reason", "query_row", "item_row", "available_from"}


class Config(Section):
    """One run."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    seed: Seed = 0
    data: Data
    features: tuple[Feature, ...]
    split: Split = Split()
    baselines: Baselines = Baselines()
    towers: Towers = Towers()
    trend: Trend = Trend()
    mixing: Mixing = Mixing()
    train: Train = Train()
    index: Index = Index()
    gate: Gate = Gate()
    evaluation: Evaluation = Evaluation()
    rolling: Rolling = Rolling()
    tune: Tune = Tune()
    ranker: Ranker = Ranker()
    rerank: Rerank = Rerank()
    freshness: Freshness = Freshness()
    publish: Publish = Publish()

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        # Lower case, as the engines that hold the tables take "Price" and "price" for one column.
        names = [feature.name.lower() for feature in self.features]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"features: the name {name!r} is used {names.count(name)} times")
            if name in _RESERVED or iskeyword(name) or name.startswith(FILTER):
                raise ValueError(f"features: the name {name!r} is reserved; choose another and set column")
        if not self.on("items"):
            raise ValueError("features: none describes items; expected at least the item id")
        if self.towers.history.encoder == "none" and not (self.on("queries") or self.on("events")):
            raise ValueError(
                'towers.history.encoder = "none" leaves nothing to know a query by: expected at least one feature of '
                "queries or events, such as the user id, found none"
            )
        if self.data.events.order:
            clocks = [feature.name for feature in self.features if feature.kind == "time"]
            if clocks:
                raise ValueError(f"features: {clocks[0]!r} needs a clock, and data.events.order has none")
            windows = (*self.baselines.windows, *self.trend.windows, self.trend.bucket, self.train.horizon)
            windows += (self.split.horizon, self.rolling.step)
            dates = (self.split.validation, self.split.ranker, self.split.test)
            for value in (*windows, *dates):
                if isinstance(value, str):
                    raise ValueError(f"{value!r} needs a clock, and data.events.order has none; give order steps")
        if self.data.segment and self.data.segment not in {
            feature.name for feature in self.on("queries") if feature.kind == "category"
        }:
            raise ValueError(f"data.segment: {self.data.segment!r} is no category feature of queries")
        if self.rerank.pool > self.index.candidates:
            raise ValueError(
                f"rerank.pool = {self.rerank.pool} is above index.candidates = {self.index.candidates}: "
                f"a list cannot be chosen from more than is retrieved"
            )
        if self.gate.list_k > self.rerank.pool:
            raise ValueError(f"gate.list_k = {self.gate.list_k} is above rerank.pool = {self.rerank.pool}")
        if self.gate.list_k > self.gate.k:
            raise ValueError(f"gate.list_k = {self.gate.list_k} is above gate.k = {self.gate.k}")
        if self.index.candidates < self.gate.k:
            raise ValueError(f"index.candidates = {self.index.candidates} is below gate.k = {self.gate.k}")
        return self

    @model_validator(mode="after")
    def _says_nothing_idle(self) -> Config:
        bare = self.own_ids == self.on("items")
        nothing = "items have no feature but their own id"
        idle: list[tuple[Section, str, str]] = []
        idle += [(self.train, f"train.{name}", nothing) for name in ("cold_items", "cold_weight") if bare]
        idle += [] if self.data.segment else [(self.mixing, "mixing.segments", "no data.segment is named")]
        for section, key, where in idle:
            name = key.rpartition(".")[2]
            found, off = getattr(section, name), type(section).model_fields[name].default
            if found not in (off, 0):  # 0 says what is done
                raise ValueError(f"{key} = {found} does nothing where {where}, expected {off}")
        return self

    @property
    def own_ids(self) -> tuple[Feature, ...]:
        """The features of items that say which item it is: a brand's id says of a new item what it says of others."""
        own = self.data.items.id
        return tuple(one for one in self.on("items") if one.kind == "id" and one.source_column == own)

    def on(self, table: str) -> tuple[Feature, ...]:
        """Features of one table ("items", "queries" or "events"), in file order."""
        return tuple(feature for feature in self.features if feature.table == table)

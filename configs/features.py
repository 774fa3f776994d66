"""The config of the features: one kind each, for items, queries and events."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from configs.units import Count, Number, Portion, Section, Switch


class _Feature(Section):
    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")  # it becomes the name of an input of the served graph
    table: Literal["items", "queries", "events"]
    column: str | None = None  # default: the feature's name
    dimension: Count = 16

    @property
    def source_column(self) -> str:
        """The column of the source table that holds it."""
        return self.column or self.name


class IdFeature(_Feature):
    """The id itself; hidden now and then in training, so that content learns to carry the cold."""

    kind: Literal["id"]
    table: Literal["items", "queries"]
    dimension: Count = 64
    dropout: Portion = 0.1
    min_count: Count = 2  # ids with fewer training events are treated as unknown


class CategoryFeature(_Feature):
    """One value out of few."""

    kind: Literal["category"]


class MultiCategoryFeature(_Feature):
    """Several values in one text column, joined by `separator` (Parquet lists are joined on reading)."""

    kind: Literal["multi_category"]
    separator: str = "|"


class NumberFeature(_Feature):
    """A finite number, standardised; where there is none, `missing`, or an error without it."""

    kind: Literal["number"]
    missing: Number | None = None
    log: Switch = False  # log(1 + x) first; for amounts and counts


class TextFeature(_Feature):
    """Free text as a bag of words."""

    kind: Literal["text"]
    words: Count = 10_000
    length: Count = 32


class TimeFeature(_Feature):
    """The moment of the request as hour of day and day of week, cyclical (UTC)."""

    kind: Literal["time"]
    table: Literal["events"]


class VectorFeature(_Feature):
    """A precomputed embedding of `width` numbers, one list column."""

    kind: Literal["vector"]
    width: Count


Feature = Annotated[
    IdFeature | CategoryFeature | MultiCategoryFeature | NumberFeature | TextFeature | TimeFeature | VectorFeature,
    Field(discriminator="kind"),
]

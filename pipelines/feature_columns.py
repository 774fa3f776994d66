"""Feature columns of the raw tables: parsed by kind, checked, and filled where a value is missing; and those of the
prepared tables as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from configs.errors import DataError
from configs.features import Feature, NumberFeature, VectorFeature
from pipelines.normalise import as_clock, as_joined, as_number, as_text, as_vector
from pipelines.sources.base import require

_LARGEST = 1e38
_ONE_VALUE = ("id", "category", "number", "text", "time")


def column_of(feature: Feature, columns: Sequence[str], own: str | None) -> str:
    """The column that a feature reads: `column`, else that of its name; an id without either is the table's `own`.

    A time without `column` is the event's own, whatever the columns: serving computes it from the request's time.
    """
    if feature.column is None and (feature.kind == "time" or (feature.kind == "id" and feature.name not in columns)):
        return own or feature.name
    return feature.source_column


def parse(feature: Feature, table: ir.Table, own: str | None, unit: str, origin: str) -> ir.Value:
    """The feature's values in the type of its kind, null where missing.

    `own` is the table's own id or time column, `unit` the unit of numeric times. Raises: DataError on a missing
    column or a type that the kind cannot use.
    """
    name = column_of(feature, table.columns, own)
    column: Any = require(table, name, f"feature {feature.name!r}", origin)
    dtype = column.type()
    if dtype.is_struct() or dtype.is_map() or (dtype.is_array() and feature.kind in _ONE_VALUE):
        raise DataError(
            f"feature {feature.name!r}: column {name!r} of {origin} holds {dtype}; "
            f"expected {_expected(feature)} for kind = {feature.kind!r}"
        )
    if feature.kind == "multi_category":
        return as_joined(column, feature.separator)
    if feature.kind == "vector":
        return as_vector(column)
    if feature.kind == "number":
        return as_number(column)
    return as_clock(column, unit) if feature.kind == "time" else as_text(column)


def fill(feature: Feature, column: Any) -> ir.Value:
    """Missing values as the model reads them: "" for text and categories, zeros for a vector, `missing` for a
    number. A time is filled by the caller, who knows the event's own."""
    if feature.kind == "number":
        return column if feature.missing is None else column.fill_null(feature.missing)
    if feature.kind == "vector":
        return column.fill_null(ibis.literal([0.0] * feature.width, type="array<float32>"))
    return column if feature.kind == "time" else column.fill_null("")


def check(table: ir.Table, key: str, features: Sequence[Feature], origin: str) -> None:
    """Refuse values that would poison training: one pass over the parsed `table`, whose id column is `key`.

    Raises: DataError that names the feature, its column, how many rows of how many, one of them, and what
    was expected.
    """
    problems = [problem for feature in features for problem in _problems(feature, table)]
    if not problems:
        return
    counts = table.aggregate(rows=table.count(), **{f"bad_{i}": bad.sum() for i, (_, bad, _) in enumerate(problems)})
    row = counts.to_pyarrow().to_pylist()[0]
    for i, (feature, bad, expected) in enumerate(problems):
        if row[f"bad_{i}"]:
            example = table.filter(bad).select(key).limit(1).to_pyarrow()[key][0].as_py()
            label = key.strip("_").replace("_", " ")
            raise DataError(
                f"feature {feature.name!r}: column {feature.source_column!r} of {origin}: "
                f"{row[f'bad_{i}']} of {row['rows']} rows ({label} {example!r} is one); expected {expected}"
            )


def columns_of(table: pd.DataFrame, features: tuple[Feature, ...]) -> dict[str, np.ndarray]:
    """Feature columns of a table as arrays that TensorFlow takes."""
    return {feature.name: _array(table[feature.name], feature) for feature in features}


def _array(column: pd.Series, feature: Feature) -> np.ndarray:
    if feature.kind == "vector":
        return np.stack(list(column)).astype(np.float32)
    if feature.kind == "number":
        return column.to_numpy(np.float32)
    return column.to_numpy(object)


def _problems(feature: Feature, table: ir.Table) -> list[tuple[Feature, ir.BooleanValue, str]]:
    column: Any = table[feature.name]
    found: list[tuple[Feature, ir.BooleanValue, str]] = []
    if isinstance(feature, NumberFeature):
        if feature.missing is None:
            expected = "a finite number, or missing = ... in the feature"
            found.append((feature, column.isnull(), expected))
        found.append((feature, (column.abs() > _LARGEST).fill_null(False), "numbers that a 32-bit float holds"))
        if feature.log:
            found.append((feature, (column <= -1).fill_null(False), "numbers above -1, as log = true"))
    elif isinstance(feature, VectorFeature):
        length = (column.length() != feature.width).fill_null(False)
        found.append((feature, length, f"{feature.width} numbers a row (width = {feature.width})"))
        holes = column.filter(lambda value: value.isnull()).length() > 0
        found.append((feature, holes.fill_null(False), "finite numbers in every place"))
    return found


def _expected(feature: Feature) -> str:
    return {"multi_category": "text or a list", "vector": "a list of numbers"}.get(feature.kind, "one value a row")

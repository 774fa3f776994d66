"""What a table says of its rows in words and categories, as texts of terms between spaces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer

from configs.features import Feature
from towers.words import words

CATEGORIES = ("category", "multi_category")
WORDS = (*CATEGORIES, "text")


def documents(table: pd.DataFrame, features: Sequence[Feature], kinds: Sequence[str]) -> list[str]:
    """One text for each row: the words of its texts, and "feature=value" for its categories; "" where it has none."""
    columns = [_terms(table[feature.name], feature) for feature in features if feature.kind in kinds]
    return [" ".join(filter(None, parts)) for parts in zip(*columns, strict=True)] if columns else [""] * len(table)


def indicators(texts: Sequence[str]) -> sparse.csr_matrix:
    """Which row has which term, float32 [rows, terms]."""
    if not any(texts):
        return sparse.csr_matrix((len(texts), 0), dtype=np.float32)
    return CountVectorizer(token_pattern=r"\S+", binary=True, dtype=np.float32).fit_transform(texts)


def _terms(column: pd.Series, feature: Feature) -> list[str]:
    values = column.fillna("").astype(str)
    if feature.kind == "text":
        return [" ".join(words(value)) for value in values]
    separator = feature.separator if feature.kind == "multi_category" else None
    return [_named(feature.name, value.split(separator) if separator else [value]) for value in values]


def _named(name: str, values: Sequence[str]) -> str:
    return " ".join(f"{name}={'_'.join(value.split())}" for value in values if value.strip())

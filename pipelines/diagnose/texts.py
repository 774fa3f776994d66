"""Do texts of items say what items have in common? A word that only one item has says nothing of any other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from configs.features import TextFeature
from pipelines.diagnose.observed import Observed
from towers.words import tower_words

MOSTLY = 0.5  # share of the words from which a text is a name of its item, and of the items that it may place


@dataclass(frozen=True)
class TextWords:
    """items: those with words in the feature; sharing: share of them that have a word in common with another item;
    alone: share of their words, each counted once an item, that no other item has."""

    name: str
    items: int
    sharing: float
    alone: float

    @property
    def named(self) -> bool:
        """Whether most words are in one item only: codes, links, names."""
        return self.items > 1 and self.alone >= MOSTLY

    @property
    def connects(self) -> bool:
        """Whether at least half of the items that have it share a word with another one."""
        return self.sharing >= MOSTLY


def texts(observed: Observed) -> tuple[TextWords, ...]:
    """Count the words of every text feature of items, as the towers read them."""
    features = (feature for feature in observed.config.on("items") if isinstance(feature, TextFeature))
    return tuple(_counted(feature, observed.tables.items[feature.name]) for feature in features)


def _counted(feature: TextFeature, column: pd.Series) -> TextWords:
    read = pd.Series(list(_read(feature, column)), dtype=object).explode().dropna()
    if not len(read):
        return TextWords(feature.name, 0, 0.0, 0.0)
    word, _ = pd.factorize(read)
    alone = np.bincount(word)[word] == 1
    items = read.index.nunique()
    return TextWords(feature.name, items, read.index[~alone].nunique() / items, float(alone.mean()))


def _read(feature: TextFeature, column: pd.Series) -> Iterator[list[str]]:
    """The distinct words of each item."""
    for text in column.astype(str):
        yield list(dict.fromkeys(tower_words(text)[: feature.length]))

"""How well one feature column tells the rows of one group from those of another, by an AUC that has not seen them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.tree import DecisionTreeClassifier

from configs.features import Feature, MultiCategoryFeature
from towers.words import words

ROWS = 5_000  # of each group, at most
FEWEST = 50  # rows of a group below which nothing is said
_DEPTH, _LEAF = 3, 20  # a shallow tree: it can bend, but not learn rows by heart
_PRIOR = 10.0  # rows, spread as all are, that a category's own are blended with
_SHUFFLES = 200


@dataclass(frozen=True)
class Separation:
    """auc: chance that a row of the group is ranked above one outside of it, .5 = not told apart; chance: what 97.5 %
    of shuffled groups stay below; rows: looked at, of both groups."""

    auc: float
    chance: float
    rows: int


def separation(feature: Feature, column: np.ndarray, group: np.ndarray, seed: int) -> Separation | None:
    """Cross-fit in two halves and compare with shuffled groups; None where a group (bool [n]) is too small."""
    rng = np.random.default_rng(seed)
    rows = np.concatenate([_sample(np.flatnonzero(group == side), rng) for side in (False, True)])
    column, group = column[rows], group[rows]
    if min(group.sum(), (~group).sum()) < FEWEST:
        return None
    half = np.zeros(len(rows), bool)
    for side in (False, True):  # halves of each group
        members = rng.permutation(np.flatnonzero(group == side))
        half[members[: len(members) // 2]] = True
    found = []
    for held in (half, ~half):
        scores = _fitted_scores(feature, column, group, ~held)[held]
        found.append((rankdata(scores), group[held]))
    auc = float(np.mean([_auc(ranks, members) for ranks, members in found]))
    shuffled = [np.mean([_auc(ranks, rng.permutation(members)) for ranks, members in found]) for _ in range(_SHUFFLES)]
    return Separation(auc, float(np.quantile(shuffled, 0.975)), len(rows))


def _sample(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rows if len(rows) <= ROWS else rng.choice(rows, ROWS, replace=False)


def _auc(ranks: np.ndarray, group: np.ndarray) -> float:
    """The Mann-Whitney statistic of the group's ranks (from 1, ties averaged), as a share."""
    inside, outside = group.sum(), (~group).sum()
    return float((ranks[group].sum() - inside * (inside + 1) / 2) / (inside * outside))


def _fitted_scores(feature: Feature, column: np.ndarray, group: np.ndarray, fit: np.ndarray) -> np.ndarray:
    """A score of each row for being in the group, learned on the rows in `fit` (bool [n])."""
    if feature.kind in ("number", "time", "vector"):
        values = np.stack(list(column)) if feature.kind == "vector" else column[:, None]
        values = np.nan_to_num(values.astype(np.float64), nan=-1e30)
        tree = DecisionTreeClassifier(max_depth=_DEPTH, min_samples_leaf=_LEAF, random_state=0)
        return tree.fit(values[fit], group[fit]).predict_proba(values)[:, 1]
    return _encoded(_tokens(feature, column), group, fit)


def _tokens(feature: Feature, column: np.ndarray) -> pd.Series:
    """The categories or words of each row, one a line, under the row's number; a row without any has ""."""
    texts = pd.Series(column.astype(str))
    if isinstance(feature, MultiCategoryFeature):
        return texts.str.split(feature.separator, regex=False).explode()
    if feature.kind == "text":
        return texts.str.lower().map(lambda text: words(text) or [""]).explode()
    return texts


def _encoded(tokens: pd.Series, group: np.ndarray, fit: np.ndarray) -> np.ndarray:
    """Mean over a row's tokens of the share of the group among the rows in `fit` that hold the token."""
    rows = tokens.index.to_numpy()
    overall = group[fit].mean()
    learned = pd.Series(group[rows[fit[rows]]], dtype=float).groupby(tokens.to_numpy()[fit[rows]]).agg(["sum", "size"])
    share = (learned["sum"] + _PRIOR * overall) / (learned["size"] + _PRIOR)
    score = tokens.map(share).fillna(overall).to_numpy(float)
    return np.bincount(rows, score, len(group)) / np.bincount(rows, minlength=len(group))

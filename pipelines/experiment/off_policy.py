"""What another policy would have earned on the same requests, from a log that keeps propensities.

A row is an action that was taken: its reward, the probability with which the logging policy took it (propensity), and
that with which the policy in question would take it (target). For a list a row is a place, and it is assumed that what
a place earns depends on its item alone (Li et al., "Offline evaluation of ranking policies with click models", KDD
2018). With w = target / propensity, the value of the policy, reward a row, is estimated by

    IPS     mean(w r)                      unbiased; varies with w (Horvitz and Thompson, 1952)
    SNIPS   sum(w r) / sum(w)              biased by O(1 / n), varies less (Swaminathan and Joachims, NIPS 2015)
    DR      mean(v + w (r - q))            q a model's estimate of the row's reward, v its mean under the target policy;
                                           right where q or the propensities are (Dudik, Langford and Li, ICML 2011)

What the logging policy never did tells nothing of a policy that does it: propensities must be above 0 wherever the
target is, and then mean(w) is 1 but for chance. Weights above a clip are lowered to it, for less variance and a bias
towards less. Intervals are normal, by the variance of the sums over queries: rows of one query are not independent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from configs.errors import DataError
from pipelines.evaluation.bootstrap import Interval

_COLUMNS = ("query", "reward", "propensity")
MODEL = ("estimate", "value")
"""Columns that DR needs: q of the row's action, and the mean of q under the target policy."""
_FEW = 100.0  # effective rows below which a normal interval is not to be trusted
_SURE = 3.0  # standard errors from 1 at which a mean weight is no chance


@dataclass(frozen=True)
class Actions:
    """Rows of a log: query [n] int64 (any numbering), reward, propensity (above 0), target, float64 [n]; estimate and
    value: what a model says, or None."""

    query: np.ndarray
    reward: np.ndarray
    propensity: np.ndarray
    target: np.ndarray
    estimate: np.ndarray | None = None
    value: np.ndarray | None = None


@dataclass(frozen=True)
class Value:
    """A policy's value, reward a row.

    rows: of the log; logged: of the logging policy; dr: None without a model; weight: the mean of target / propensity
    before clipping, as an interval; effective: (sum w)^2 / sum w^2, rows of equal weight that would say as much (Kish,
    1965); largest: weight; clipped: share of rows whose weight was lowered to `clip`.
    """

    policy: str
    rows: int
    logged: Interval
    ips: Interval
    snips: Interval
    dr: Interval | None
    weight: Interval
    effective: float
    largest: float
    clip: float | None
    clipped: float

    @property
    def cautions(self) -> list[str]:
        """What may make the estimates wrong."""
        found = []
        if self.effective < _FEW:
            found.append(f"{self.effective:,.0f} effective rows are too few: intervals may be too narrow")
        error = (self.weight.high - self.weight.low) / 2 / NormalDist().inv_cdf(0.975)
        if abs(self.weight.mean - 1) > _SURE * error + 1e-9:
            said = f"weights have a mean of {self.weight.mean:.3f} instead of 1"
            found.append(f"{said}: propensities are wrong, or the policy does what was never tried")
        if self.clipped:
            found.append(f"{self.clipped:.1%} of weights were clipped at {self.clip:g}: estimates lean towards less")
        return found


def off_policy(actions: Actions, policy: str = "target", clip: float | None = None, level: float = 0.95) -> Value:
    """Estimate the value of a policy. clip: largest weight that is kept."""
    raw = actions.target / actions.propensity
    weight = raw if clip is None else np.minimum(raw, clip)
    queries = np.unique(actions.query, return_inverse=True)[1]
    rows, reward, total = len(raw), actions.reward, float(weight.sum())

    def mean(values: np.ndarray) -> Interval:
        centre = float(values.mean())
        return _interval(centre, values - centre, queries, level)

    own = float((weight * reward).sum()) / total if total else np.nan
    doubly = None
    if actions.estimate is not None and actions.value is not None:
        doubly = mean(actions.value + weight * (reward - actions.estimate))
    return Value(
        policy,
        rows,
        mean(reward),
        mean(weight * reward),
        _interval(own, weight * (reward - own) * rows / total if total else weight, queries, level),
        doubly,
        mean(raw),
        total**2 / float((weight**2).sum()) if total else 0.0,
        float(raw.max()),
        clip,
        float((raw > clip).mean()) if clip is not None else 0.0,
    )


def _interval(centre: float, terms: np.ndarray, queries: np.ndarray, level: float) -> Interval:
    """terms: each row's part in the error of the mean."""
    sums = np.bincount(queries, terms)
    count = len(sums)
    error = math.sqrt(count / (count - 1) * float((sums**2).sum())) / len(terms) if count > 1 else math.inf
    half = NormalDist().inv_cdf((1 + level) / 2) * error
    return Interval(centre, centre - half, centre + half, count)


def read_actions(where: Path, policy: str) -> Actions:
    """A Parquet table: query, reward, propensity, a column named as the policy, and for DR estimate and value.

    Raises: DataError.
    """
    try:
        table = pq.read_table(where)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"actions: {where} cannot be read as Parquet: {str(error).splitlines()[0]}") from None
    needed = (*_COLUMNS, policy)
    missing = [name for name in needed if name not in table.column_names]
    missing += [name for name in MODEL if name not in table.column_names and set(MODEL) & set(table.column_names)]
    if missing:
        found = ", ".join(table.column_names)
        why = "estimate and value go together" if missing[0] in MODEL else f"expected {', '.join(needed)}"
        raise DataError(f"actions: {where} has no column {missing[0]!r}; {why}; found {found}")
    if not len(table):
        raise DataError(f"actions: {where} has no rows")
    numbers = {name: _numbers(table, name, where) for name in ("reward", "propensity", policy)}
    _within(numbers["propensity"], "propensity", where, above=0.0)
    _within(numbers[policy], policy, where, above=-1e-12)
    model = {name: _numbers(table, name, where) for name in MODEL if name in table.column_names}
    query = pd.factorize(table["query"].to_pandas(), use_na_sentinel=False)[0]
    if query.max() == 0:
        raise DataError(f"actions: {where}: query: found one, expected several: rows of one query are not independent")
    return Actions(query, numbers["reward"], numbers["propensity"], numbers[policy], **model)


def _numbers(table: pa.Table, name: str, where: Path) -> np.ndarray:
    try:
        values = table[name].cast(pa.float64()).to_numpy()
    except pa.ArrowException:
        raise DataError(f"actions: {where}: {name}: found {table[name].type}, expected numbers") from None
    bad = ~np.isfinite(values)
    if bad.any():
        raise DataError(f"actions: {where}: {name}: found {bad.sum():,} rows without a finite number, expected none")
    return values


def _within(values: np.ndarray, name: str, where: Path, above: float) -> None:
    bad = (values <= above) | (values > 1 + 1e-9)
    if bad.any():
        first = float(values[bad.argmax()])
        expected = "probabilities above 0 and at most 1" if above == 0 else "probabilities from 0 to 1"
        raise DataError(f"actions: {where}: {name}: found {first:g} in row {bad.argmax()}, expected {expected}")

"""What the towers and the final list are worth in every slice, against baselines and against a previous run.

Many slices are looked at, at 95 % each, so some differ by luck alone: of those that are level with a rival in truth,
one in forty reads "worse". `by_chance` says how many that would be. This is for people who look for what to mend; what
stops a model is judged in the gate, on few slices chosen beforehand.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import numpy as np

from pipelines.dataset import Dataset
from pipelines.evaluation.bootstrap import Interval, intervals
from pipelines.evaluation.compared import Against, samples_for, status_of
from pipelines.evaluation.metrics import per_request
from pipelines.evaluation.results import Results
from pipelines.evaluation.slices import Slice, only
from pipelines.evaluation.stored import load, save
from pipelines.tables import Candidates, Ragged, Requests

_Z = 1.96


@dataclass(frozen=True)
class Rivals:
    """Who a contender is held against on a metric: the strongest popularity and the strongest baseline of all, by the
    mean over all requests. They are the same in every slice: the best of many in a small slice would be so by luck."""

    contender: str
    metric: str
    popularity: str
    baseline: str


@dataclass(frozen=True)
class SliceResult:
    """One contender in one slice of the "requests" or their "targets", or on the "newcomers", who have no past.

    n: requests it rests on (of a slice of targets, those with such a target); baseline: None where popularity is the
    strongest of all baselines.
    """

    of: str
    dimension: str
    slice: str
    contender: str
    metric: str
    n: int
    value: Interval
    popularity: Against
    baseline: Against | None

    @property
    def hardest(self) -> Against:
        """The strongest baseline, whichever it is."""
        return self.baseline or self.popularity

    @property
    def against(self) -> Against:
        """Who it is judged by. Worse is what is surely worse than the strongest baseline or than the strongest
        popularity, and then this is the one it loses most to; else the strongest baseline."""
        worse = [one for one in (self.hardest, self.popularity) if one.status == "worse"]
        return min(worse, key=lambda one: one.difference.mean, default=self.hardest)

    @property
    def key(self) -> tuple[str, ...]:
        """What names it across runs."""
        return (self.of, self.dimension, self.slice, self.contender, self.metric)


@dataclass(frozen=True)
class SliceResults:
    """Everything first ("all"), then every slice; asked: a digest of the requests, to know them again."""

    asked: str
    min_users: int
    rows: tuple[SliceResult, ...]


@dataclass(frozen=True)
class Change:
    """A slice now and in a previous run. difference: now less before, paired by request where both runs were asked
    the same, else as of two independent samples (`paired` False)."""

    now: SliceResult
    before: SliceResult
    against: Against
    paired: bool


def judge_slices(
    results: Mapping[str, Results], targets: Ragged, slices: Sequence[Slice], rivals: Sequence[Rivals], min_users: int
) -> Iterator[tuple[SliceResult, np.ndarray]]:
    """Each contender overall and in every slice, with its value for each request ([R], NaN outside the slice)."""
    everything = Slice("requests", "all", "all", np.ones(len(targets), bool))
    for part in (everything, *slices):
        values = _values(results, targets, part, rivals)
        if values:
            yield from _judged(part, values, rivals, min_users)


def regressions(results: SliceResults) -> list[SliceResult]:
    """Slices surely worse than a baseline (see `SliceResult.against`), the largest loss first."""
    worse = [row for row in results.rows if row.against.status == "worse"]
    return sorted(worse, key=lambda row: row.against.difference.mean)


def by_chance(rows: Sequence[SliceResult]) -> float:
    """How many of the rows would at most read "worse" by luck if all were level with their one or two rivals."""
    rivals = [1 if row.baseline is None else 2 for row in rows if row.hardest.status != "too few to tell"]
    return 0.025 * sum(rivals)


def digest_of(dataset: Dataset, *asked: Requests) -> str:
    """A digest of who asks, when, and what they take, by the names that another run knows them by."""
    queries, items = (dataset.tables.queries["query"].astype(str), dataset.tables.items["item"].astype(str))
    sha = hashlib.sha256()
    for requests in asked:
        for names in (queries.iloc[requests.query], items.iloc[requests.targets.values]):
            sha.update("\n".join(names).encode())
        for numbers in (requests.time, requests.targets.starts):
            sha.update(numbers.astype(np.int64).tobytes())
    return sha.hexdigest()


def save_slices(found: SliceResults, values: Sequence[np.ndarray], folder: Path) -> None:
    """Write slices.json, and slices.npz with the value of each request, [rows, R], for a later run to compare with;
    newcomers are fewer or more, and every row is filled up with NaN."""
    save(found, folder / "slices.json")
    filled = np.full((len(values), max(map(len, values))), np.nan, np.float32)
    for row, of in zip(filled, values, strict=True):
        row[: len(of)] = of
    np.savez_compressed(folder / "slices.npz", values=filled)


def load_slices(folder: Path) -> SliceResults:
    """Read slices.json of the evaluate stage's folder."""
    return load(SliceResults, folder / "slices.json")


def changes(folder: Path, previous: Path) -> list[Change]:
    """Slices that both evaluate folders know, those that got worse first, then the rest from the largest loss."""
    now, before = load_slices(folder), load_slices(previous)
    paired = now.asked == before.asked
    values = [np.load(place / "slices.npz")["values"].astype(np.float64) for place in (folder, previous)]
    known = {row.key: place for place, row in enumerate(before.rows)}
    found = []
    for place, row in enumerate(now.rows):
        if row.key in known:
            other = before.rows[known[row.key]]
            if paired:
                difference = _paired(values[0][place] - values[1][known[row.key]])
            else:
                difference = _independent(row.value, other.value)
            against = Against("previous run", other.value.mean, difference, status_of(difference, now.min_users))
            found.append(Change(row, other, against, paired))
    return sorted(found, key=lambda one: (one.against.status != "worse", one.against.difference.mean))


def _values(
    results: Mapping[str, Results], targets: Ragged, part: Slice, rivals: Sequence[Rivals]
) -> dict[tuple[str, str], np.ndarray]:
    """Value of each request by contender (or rival) and metric, [R], NaN outside the slice; none if it is empty."""
    asked = {(name, one.metric) for one in rivals for name in (one.contender, one.popularity, one.baseline)}
    if part.of == "requests":
        if not part.mask.any():
            return {}
        return {(name, metric): np.where(part.mask, results[name].metrics[metric], np.nan) for name, metric in asked}
    wanted = only(targets, part.mask)
    if not len(wanted.values):
        return {}
    return {(name, metric): _measured(results[name].items, wanted, metric) for name, metric in asked}


def _measured(items: np.ndarray, targets: Ragged, metric: str) -> np.ndarray:
    """A metric, "ndcg@10", on some of the targets alone, [R]; NaN where a request has none of them."""
    name, _, k = metric.partition("@")
    rows = np.flatnonzero(targets.lengths)
    shown = Candidates(items[rows, : int(k)], np.zeros((len(rows), int(k)), np.float32), "list")
    values = np.full(len(targets), np.nan)
    values[rows] = per_request(shown, targets.take(rows), int(k))[name]
    return values


def _judged(
    part: Slice, values: Mapping[tuple[str, str], np.ndarray], rivals: Sequence[Rivals], min_users: int
) -> Iterator[tuple[SliceResult, np.ndarray]]:
    there = ~np.isnan(next(iter(values.values())))
    n = int(there.sum())
    triples = [[values[name, one.metric] for name in (one.contender, one.popularity, one.baseline)] for one in rivals]
    stacked = np.stack([row[there] for ours, *theirs in triples for row in (ours, *(ours - rival for rival in theirs))])
    found = intervals(stacked, samples=samples_for(n))
    for place, (one, (ours, popular, strong)) in enumerate(zip(rivals, triples, strict=True)):
        value, over_popular, over_strong = found[3 * place : 3 * place + 3]
        result = SliceResult(
            part.of,
            part.dimension,
            part.name,
            one.contender,
            one.metric,
            n,
            value,
            _against(one.popularity, popular[there], over_popular, min_users),
            None if one.baseline == one.popularity else _against(one.baseline, strong[there], over_strong, min_users),
        )
        yield result, ours


def _against(rival: str, values: np.ndarray, difference: Interval, min_users: int) -> Against:
    return Against(rival, float(values.mean()), difference, status_of(difference, min_users))


def _paired(difference: np.ndarray) -> Interval:
    there = difference[~np.isnan(difference)]
    return intervals(there[None], samples=samples_for(len(there)))[0]


def _independent(now: Interval, before: Interval) -> Interval:
    """Normal approximation, standard errors taken from the widths of both intervals."""
    error = sqrt(sum(((one.high - one.low) / (2 * _Z)) ** 2 for one in (now, before)))
    mean = now.mean - before.mean
    return Interval(mean, mean - _Z * error, mean + _Z * error, min(now.n, before.n))

"""`make bench-onboarding`: what newcomers of the demo get who say what they like, and what is mixed in for short pasts.

A newcomer "chooses" the category of their first event, or its item, and is judged on what they take later; the first
item is kept out of every list. There are few of them, so everyone of the test window is also asked for as if new.
All towers answer through the graph that is served.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from configs.load import builtin, load
from pipelines.dataset import Dataset, load_dataset
from pipelines.evaluation.bootstrap import paired_interval
from pipelines.evaluation.metrics import per_request
from pipelines.evaluation.ranking import Scorer, rank
from pipelines.index.item_index import refreshed
from pipelines.likes import likes_of
from pipelines.progress import Progress
from pipelines.replay import raw_inputs
from pipelines.requests import requests_of_newcomers
from pipelines.run import open_run, run_until
from pipelines.served import Parts, item_ids, load_parts, recommender_at
from pipelines.tables import Candidates, Ragged, Requests
from serving.recommender import Recommender
from tests.bench.harness import Row, bench
from towers.backend import tf

_BLOCK = 64
_ROW = "row of the cohort"  # no feature's name
Metrics = dict[str, np.ndarray]
Inputs = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class _Cohort:
    """Requests of people who are new or taken to be, and their first items, [R] with -1 for none; what they took later
    is to be found. The requests are numbered in their context."""

    requests: Requests
    first: np.ndarray

    def first_of(self, part: Requests) -> np.ndarray:
        """First items of some of the requests."""
        return self.first[part.context[_ROW]]

    @classmethod
    def numbered(cls, requests: Requests, first: np.ndarray) -> _Cohort:
        """From requests that are not."""
        context = {**requests.context, _ROW: np.arange(len(requests))}
        return cls(replace(requests, context=context), first)

    @classmethod
    def of(cls, dataset: Dataset, forgetting: bool) -> _Cohort:
        """Newcomers; forgetting: everyone of the test window as if nothing were known of what they did before."""
        cuts = dataset.cuts
        window = (dataset.window_alone if forgetting else dataset.window)(cuts.test, cuts.end)
        requests = requests_of_newcomers(window, dataset.rules(cuts.test))
        first = window.sequences.item[window.first[requests.query]]
        rows = requests.targets.rows
        other = requests.targets.values != first[rows]
        later_ones = Ragged.from_rows(rows[other], requests.targets.values[other], len(requests))
        some = np.flatnonzero(later_ones.lengths > 0)
        return cls.numbered(replace(requests, targets=later_ones).take(some), first[some])


def measure(overrides: list[str]) -> list[Row]:
    """Run the demo up to the ranker, or find that done, and ask."""
    config = load(builtin("demo"), overrides)
    work = open_run(config)
    run_until(work, "rank", Progress())
    dataset = load_dataset(config, work.folder / "prepare")
    parts = load_parts(dataset, {name: work.folder / name for name in ("train", "rank", "index", "baselines")})
    bare = replace(parts, vectors=replace(parts.vectors, mixed=None))
    rows = [
        row
        for who, forgetting in (("newcomers", False), ("as if new", True))
        for row in _onboarding(dataset, parts, bare, who, _Cohort.of(dataset, forgetting))
    ]
    return rows + list(_mixing(dataset, parts, bare))


def _onboarding(dataset: Dataset, parts: Parts, bare: Parts, who: str, asked: _Cohort) -> Iterator[Row]:
    """Every way to answer, each with its paired difference to the towers that are told nothing."""
    cut, judge = dataset.cuts.test, _Judge(dataset, asked)
    ask = judge.asking(recommender_at(dataset, parts, cut, parts.index))
    without = recommender_at(dataset, bare, cut, refreshed(parts.index, dataset, bare.vectors, cut))
    likes, ids = likes_of(dataset, cut), np.array(item_ids(dataset), object)
    names = np.append(np.array(likes.names, object), "")
    category = {"likes": names[likes.of_items[asked.first]]}
    item = {"history": ids[asked.first][:, None], "history_time": asked.requests.time[:, None]}
    popular = parts.popularity  # fitted as of the cut by now
    answers: dict[str, Metrics] = {
        "towers alone": judge.asking(without)({}),
        "towers + mixing": ask({}),
        popular.name: judge.scored(popular.scores),
        f"{popular.name}, chosen category first": judge.scored(_first(popular.scores, likes.of_items, asked)),
        "category chosen": ask(category),
        "item chosen": ask(item),
        "item and category chosen": ask({**category, **item}),
    }
    base = "towers + mixing"
    for name, metrics in answers.items():
        goal = name == "category chosen"
        for metric, values in metrics.items():
            rival = answers[popular.name if name == base else base][metric]
            versus = popular.name if name == base else base
            yield _row(f"{who}: {name}, {metric}", values, rival, versus, goal and metric.startswith("recall"))
    for metric, values in answers["category chosen"].items():
        yield _row(
            f"{who}: category chosen against popularity, {metric}",
            values,
            answers[popular.name][metric],
            popular.name,
            metric.startswith("recall"),
        )


def _mixing(dataset: Dataset, parts: Parts, bare: Parts) -> Iterator[Row]:
    """What is mixed in, by length of history; exact search."""
    newcomers, returning = dataset.newcomers, dataset.test_requests
    lengths = returning.history.lengths
    groups = {"newcomers": newcomers}
    for name, low, high in (("1-2 items", 1, 2), ("3-5 items", 3, 5), ("6-10 items", 6, 10), ("11+ items", 11, None)):
        groups[name] = returning.take(np.flatnonzero((lengths >= low) & (lengths <= (high or lengths.max()))))
    for name, requests in groups.items():
        judge = _Judge(dataset, _Cohort.numbered(requests, np.full(len(requests), -1)))
        mixed, plain = (judge.scored(one.vectors.score, dataset.filter_seen) for one in (parts, bare))
        for metric, values in mixed.items():
            yield _row(f"mixing, {name}: {metric}", values, plain[metric], "towers alone")


class _Judge:
    """Asks everyone and measures what they get."""

    def __init__(self, dataset: Dataset, asked: _Cohort) -> None:
        self._dataset, self._asked = dataset, asked
        self._ids = item_ids(dataset)
        self._place = {item: row for row, item in enumerate(self._ids)}

    def asking(self, served: Recommender) -> Callable[[Inputs], Metrics]:
        """From inputs that override those of a request without a past to metrics of what is retrieved."""
        retrieve = served.signatures()["retrieve"]
        k, asked = self._dataset.config.gate.k, self._asked
        first = np.array(self._ids, object)[asked.first][:, None]

        def ask(told: Inputs) -> Metrics:
            raw = raw_inputs(self._dataset, asked.requests, k) | {"exclude": first} | dict(told)
            found = []
            for start in range(0, len(first), _BLOCK):
                part = {name: tf.constant(value[start : start + _BLOCK]) for name, value in raw.items()}
                found.append(retrieve(**part)["items"].numpy())
            rows = [[self._place.get(item.decode(), -1) for item in row] for row in np.concatenate(found)]
            return self._metrics(Candidates(np.array(rows, np.int32), np.zeros((len(rows), k), np.float32), "served"))

        return ask

    def scored(self, scores: Scorer, filter_seen: bool = False) -> Metrics:
        """Metrics of exact ranking by `scores`, without each one's first item."""
        asked, cut = self._asked, self._dataset.cuts.test

        def others(part: Requests) -> np.ndarray:
            found, first = np.array(scores(part), np.float32), asked.first_of(part)
            found[np.flatnonzero(first >= 0), first[first >= 0]] = -np.inf
            return found

        k = self._dataset.config.gate.k
        return self._metrics(rank(others, asked.requests, k, self._dataset.eligible(cut), filter_seen))

    def _metrics(self, found: Candidates) -> Metrics:
        gate, targets = self._dataset.config.gate, self._asked.requests.targets
        return {
            f"recall@{gate.k}": per_request(found, targets, gate.k)["recall"],
            f"ndcg@{gate.list_k}": per_request(found, targets, gate.list_k)["ndcg"],
        }


def _first(scores: Scorer, of_items: np.ndarray, asked: _Cohort) -> Scorer:
    """The scores with everything in front that shares a value with one's first item."""

    def front(part: Requests) -> np.ndarray:
        chosen = of_items[asked.first_of(part)]
        alike = (of_items[None, :, :, None] == chosen[:, None, None, :]) & (chosen >= 0)[:, None, None, :]
        found = scores(part)
        return found + alike.any(axis=(2, 3)) * (np.max(found) + 1)

    return front


def _row(what: str, ours: np.ndarray, theirs: np.ndarray, versus: str, goal: bool = False) -> Row:
    gap = paired_interval(ours, theirs)
    reference = f"{versus} {theirs.mean():.4f}, 95 % [{gap.low:+.4f}, {gap.high:+.4f}], n = {gap.n}"
    return Row(what, float(ours.mean()), "", reference, *(("lower bound above 0", gap.low > 0) if goal else ()))


if __name__ == "__main__":
    bench("onboarding", lambda: measure(sys.argv[1:]))

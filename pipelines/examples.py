"""Training batches: windows of the log, assembled from flat arrays without a loop over examples.

Everything random is drawn from (seed, epoch, step), so that an epoch can be replayed exactly, from any step on, after a
crash. The log is read where it lies, in memory or on disk; what an epoch holds in memory besides is a plan of 16 bytes
a window.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Literal

import numpy as np

from configs.schema import Config
from configs.units import duration
from pipelines.arrays import Keep, in_memory
from pipelines.sequences import Sequences
from pipelines.shapes import pad
from pipelines.trend import Trend, bucket_of
from pipelines.windows import cut_windows, group_alike

Batch = dict[str, np.ndarray]


class Examples:
    """Batches for `towers.retrieval.TwoTower.loss` from the events before a cut.

    static {name: [queries, ...]} and context {name: [n, ...]} are encoded features, the latter in the order of
    `sequences`; n_items is the size of the catalogue; `keep` puts away what is worked out once for every event.
    """

    def __init__(
        self,
        config: Config,
        sequences: Sequences,
        static: Mapping[str, np.ndarray],
        context: Mapping[str, np.ndarray],
        trend: Trend,
        n_items: int,
        keep: Keep = in_memory,
    ) -> None:
        self._sequences, self._static, self._context = sequences, static, context
        self._seed, self._train = config.seed, config.train
        self._width = config.towers.history.length + 1
        self._n_items = n_items
        self._bucket = keep("bucket", bucket_of(trend, sequences.time.min(), sequences.time))
        self._reach = keep("reach", self._last_target(config))
        weight = sequences.weight if config.train.weighted else np.ones(len(sequences.item), np.float32)
        if config.data.seen_items == "filter":
            weight = self._at_first(weight)
        self._weight = keep("asked", weight)  # 0: not asked for

    def _at_first(self, weight: np.ndarray) -> np.ndarray:
        """The weight of each query's strongest event with an item, at the first of them; 0 at others: seen items are
        not recommended again, so that a view has to stand for the purchase that it led to."""
        key = self._sequences.query.astype(np.int64) * self._n_items + self._sequences.item
        _, first, pair = np.unique(key, return_index=True, return_inverse=True)
        strongest = np.zeros(len(first), np.float32)
        np.maximum.at(strongest, pair, weight)
        found = np.zeros(len(key), np.float32)
        found[first] = strongest
        return found

    def _last_target(self, config: Config) -> np.ndarray:
        """For each event, the end (exclusive) of the events that its moment may be asked to predict."""
        position = np.arange(len(self._sequences.item))
        if config.train.target == "next":
            return position + 1
        end = self._sequences.starts[self._sequences.query + 1]
        if config.train.horizon is None:
            return end
        return self._place_in_query(self._sequences.time + duration(config.train.horizon), side="right")

    def _place_in_query(self, moment: np.ndarray, side: Literal["left", "right"]) -> np.ndarray:
        """For each event, how many events, with all of earlier queries, its query has had before `moment` [n], [n];
        side "right": or at it."""
        # one sorted key over all queries: within a query keys grow with time, and queries never overlap; of ranks, as
        # times themselves may be as large as their type allows
        times = np.unique(self._sequences.time)
        query = self._sequences.query.astype(np.int64) * (len(times) + 1)
        key = query + np.searchsorted(times, self._sequences.time)
        return np.searchsorted(key, query + np.searchsorted(times, moment, side))

    def shares(self, listed: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """How in-batch and hard negatives are drawn: the share of each item among the targets, [N] float32, and of each
        query among the examples that ask for one, [queries] float32.

        listed: as in `towers.retrieval.Log`, whose loss asks at no moment for an item that is listed later.
        """
        asked, log = self._times_asked(listed), self._sequences
        return _shares(log.item, asked, self._n_items), _shares(log.query, asked, len(log.starts) - 1)

    def _times_asked(self, listed: np.ndarray | None) -> np.ndarray:
        """How often an epoch asks for each event, expected, [n]."""
        place = np.arange(len(self._reach))
        # event i asks for each of the events i to reach[i] with the same probability, and reach never falls: event j
        # is asked for by those from some first one to j itself
        before = np.append(0.0, np.cumsum(1.0 / (self._reach - place)))
        first = np.searchsorted(self._reach, place, side="right")
        if listed is not None:
            first = np.maximum(first, self._place_in_query(listed[self._sequences.item], side="left"))
        return np.where(self._weight > 0, np.maximum(before[place + 1] - before[first], 0), 0)

    def epoch(self, number: int, first: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from step `first` on: every event is predicted once, by histories cut at fresh
        places."""
        starts, lengths, batches = self._plan(number)
        for step, chosen in enumerate(batches):
            if step >= first:
                step_rng = np.random.default_rng([self._seed, number, step])
                batch = self._batch(step_rng, starts[chosen], lengths[chosen])
                yield pad(batch, self._width) if self._train.xla else batch

    @cached_property
    def steps(self) -> int:
        """How many batches the first epoch has, and another about."""
        return len(self._plan(0)[2])

    def _plan(self, number: int) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        """Where the windows of an epoch start, how long they are, and which of them each batch takes."""
        rng = np.random.default_rng([self._seed, number])
        starts, lengths = cut_windows(rng, self._sequences.starts, self._width)
        order = rng.permutation(len(starts))
        order = order[np.cumsum(lengths[order]) <= max(self._train.max_examples, self._width)]
        return starts, lengths, group_alike(rng, order, lengths, self._train.batch)

    def _batch(self, rng: np.random.Generator, starts: np.ndarray, lengths: np.ndarray) -> Batch:
        log = self._sequences
        slot = np.arange(max(2, lengths.max()))[None, :]
        valid = slot < lengths[:, None]
        event = np.where(valid, starts[:, None] + slot, starts[:, None])
        target = event + (rng.random(event.shape) * (self._reach[event] - event)).astype(np.int64)
        read, query = event[:, :-1], log.query[starts]
        batch = {
            "item": log.item[read],
            "mask": valid[:, 1:],
            "item_time": log.time[read],
            "moment": log.time[event],
            "target": log.item[target],
            "weight": np.where(valid, self._weight[target], 0).astype(np.float32),
            "bucket": self._bucket[event],
            "query": query,
            "seen": self._seen(query),
        }
        batch |= {f"static/{name}": column[query] for name, column in self._static.items()}
        asked_in = target if self._train.context == "target" else event
        return batch | {f"context/{name}": column[asked_in] for name, column in self._context.items()}

    def _seen(self, query: np.ndarray) -> np.ndarray:
        """(row of the batch, item) for everything each row's query ever took, [n, 2] int32."""
        begin, end = self._sequences.starts[query], self._sequences.starts[query + 1]
        row = np.repeat(np.arange(len(query)), end - begin)
        within = np.arange(len(row)) - np.repeat(np.cumsum(end - begin) - (end - begin), end - begin)
        return np.stack([row, self._sequences.item[begin[row] + within]], axis=1).astype(np.int32)


def _shares(of: np.ndarray, counts: np.ndarray, size: int) -> np.ndarray:
    """Share of each of `size` items or queries in the counts [n] of events that are `of` it, [size] float32."""
    total = np.bincount(of, counts, size)
    return (total / total.sum()).astype(np.float32)

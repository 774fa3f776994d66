"""Training batches: windows of the log, assembled from flat arrays without a loop over examples.

Everything random is drawn from (seed, epoch), so an epoch can be replayed exactly after a crash.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from configs.schema import Config
from configs.units import duration
from pipelines.sequences import Sequences
from pipelines.trend import Trend

Batch = dict[str, np.ndarray]
_POOL = 32  # batches that share a pool of pieces, sorted by length


class Examples:
    """Batches for `towers.retrieval.TwoTower.loss` from the events before a cut.

    static {name: [queries, ...]} and context {name: [n, ...]} are encoded features, the latter in the order of
    `sequences`; n_items is the size of the catalogue.
    """

    def __init__(
        self,
        config: Config,
        sequences: Sequences,
        static: Mapping[str, np.ndarray],
        context: Mapping[str, np.ndarray],
        trend: Trend,
        n_items: int,
    ) -> None:
        self._sequences, self._static, self._context = sequences, static, context
        self._seed, self._train = config.seed, config.train
        self._width = config.towers.history.length + 1
        self._n_items = n_items
        self._bucket = ((sequences.time - sequences.time.min()) // trend.bucket).astype(np.int32)
        self._reach = self._last_target(config)
        self._asked = self._first_times() if config.data.seen_items == "filter" else np.ones(len(sequences.item), bool)

    def _first_times(self) -> np.ndarray:
        """Which events are the first of their query with their item: seen items are not recommended again."""
        key = self._sequences.query.astype(np.int64) * self._n_items + self._sequences.item
        first = np.zeros(len(key), bool)
        first[np.unique(key, return_index=True)[1]] = True
        return first

    def _last_target(self, config: Config) -> np.ndarray:
        """For each event, the end (exclusive) of the events that its moment may be asked to predict."""
        position = np.arange(len(self._sequences.item))
        if config.train.target == "next":
            return position + 1
        end = self._sequences.starts[self._sequences.query + 1]
        if config.train.horizon is None:
            return end
        # one sorted key over all queries: within a query keys grow with time, and queries never overlap
        time = self._sequences.time - self._sequences.time.min()
        stride = int(time.max()) + duration(config.train.horizon) + 2
        key = self._sequences.query.astype(np.int64) * stride + time
        return np.minimum(end, np.searchsorted(key, key + duration(config.train.horizon), side="right"))

    def target_share(self) -> np.ndarray:
        """Share of each item among the targets, [N] float32: how in-batch negatives are drawn."""
        # event i asks for each of the events i to reach[i] with the same probability
        n, probability = len(self._reach), 1.0 / (self._reach - np.arange(len(self._reach)))
        asked = np.cumsum(probability - np.bincount(self._reach, probability, n + 1)[:n])
        counts = np.bincount(self._sequences.item, np.maximum(asked, 0) * self._asked, self._n_items)
        return (counts / counts.sum()).astype(np.float32)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of one epoch: every event is predicted once, by histories cut at fresh places."""
        rng = np.random.default_rng([self._seed, number])
        starts, lengths = self._windows(rng)
        order = rng.permutation(len(starts))
        order = order[np.cumsum(lengths[order]) <= max(self._train.max_examples, self._width)]
        for chosen in _alike(rng, order, lengths, self._train.batch):
            yield self._batch(rng, starts[chosen], lengths[chosen])

    def steps(self) -> int:
        """About how many batches an epoch has."""
        return -(-min(len(self._sequences.item), self._train.max_examples) // self._train.batch)

    def _windows(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Cut every query's events into pieces of at most L + 1, at an offset drawn per query."""
        query = self._sequences.query
        within = np.arange(len(query)) - self._sequences.starts[query]
        shift = rng.integers(0, self._width, len(self._sequences.starts) - 1)
        is_start = (within == 0) | ((within + shift[query]) % self._width == 0)
        starts = np.flatnonzero(is_start)
        return starts, np.diff(np.append(starts, len(query)))

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
            "weight": np.where(valid & self._asked[target], log.weight[target], 0).astype(np.float32),
            "bucket": self._bucket[event],
            "seen": self._seen(query),
            "negatives": rng.integers(0, self._n_items, self._train.negatives.uniform, np.int32),
        }
        batch |= {f"static/{name}": column[query] for name, column in self._static.items()}
        return batch | {f"context/{name}": column[event] for name, column in self._context.items()}

    def _seen(self, query: np.ndarray) -> np.ndarray:
        """(row of the batch, item) for everything each row's query ever took, [n, 2] int32."""
        begin, end = self._sequences.starts[query], self._sequences.starts[query + 1]
        row = np.repeat(np.arange(len(query)), end - begin)
        within = np.arange(len(row)) - np.repeat(np.cumsum(end - begin) - (end - begin), end - begin)
        return np.stack([row, self._sequences.item[begin[row] + within]], axis=1).astype(np.int32)


def _alike(rng: np.random.Generator, order: np.ndarray, lengths: np.ndarray, examples: int) -> list[np.ndarray]:
    """Cut a shuffled `order` of pieces into batches of about as many `examples` each, in a shuffled order.

    Pieces of a batch are alike in length, so that little is padding; batches are alike in examples, so that the
    mean over a batch gives every example the same say.
    """
    pool = np.cumsum(lengths[order]) // (_POOL * examples)
    order = order[np.lexsort((lengths[order], pool))]
    batch = np.cumsum(lengths[order]) // examples
    batches = np.split(order, np.flatnonzero(np.diff(batch)) + 1)
    return [batches[place] for place in rng.permutation(len(batches))]

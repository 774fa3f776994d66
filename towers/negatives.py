"""What a positive is compared with: the columns of the softmax, and how probable each was to be drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from configs.stages import Negatives
from towers.alias import Alias
from towers.backend import keras, tf
from towers.dropout import Randomness
from towers.memory import Memory

_NEVER = 1e-30  # an item that no source draws may be looked up all the same, and needs a finite correction


@dataclass(frozen=True)
class Sources:
    """What columns are drawn by, besides the batch.

    frequency: [N], share of each item among the training targets, which is how the batch's own positives are drawn;
    popular: the same, to draw from; mined: hard negatives of each query; None where nothing is drawn by them.
    """

    frequency: tf.Tensor
    popular: Alias | None = None
    mined: Mined | None = None

    @classmethod
    def of(cls, config: Negatives, frequency: np.ndarray, asking: np.ndarray) -> Sources:
        """What `config` asks for over N items; asking: [queries], share of each query among the training examples."""
        if config.covers(len(frequency)):
            return cls(tf.constant(frequency))
        popular = Alias.of(frequency) if config.popular or config.in_batch else None
        mined = Mined(asking, config.hard_depth, len(frequency)) if config.hard else None
        return cls(tf.constant(frequency), popular, mined)


@dataclass(frozen=True)
class Columns:
    """The C columns that all Q examples of a step share.

    items: [C] catalogue rows; there: [C] bool, False for places that a source left empty; example: [C] which of the
    examples gave the column its positive, -1 for none; log_probability: [C] for logQ by one mixture for all columns,
    q(j) = sum_s n_s q_s(j) / sum_s n_s over the sources s; positive_log_probability: [Q], less the log of how many
    columns hold a positive; both None without correction.

    remembered: [n, e] vectors of the last n columns, which are not computed anew. They get no gradient, so that items
    would be pulled up by their positives more than pushed down: `factor` [C - n] is by how much the gradients of the
    other columns are to be multiplied to make up for it; both None without a memory.
    """

    items: tf.Tensor
    there: tf.Tensor
    example: tf.Tensor
    remembered: tf.Tensor | None = None
    factor: tf.Tensor | None = None
    log_probability: tf.Tensor | None = None
    positive_log_probability: tf.Tensor | None = None

    @property
    def fresh(self) -> tf.Tensor:
        """Items whose vectors are to be computed, the first columns."""
        return self.items if self.factor is None else self.items[: tf.size(self.factor)]

    def cold(self, items: tf.Tensor) -> tf.Tensor:
        """Which columns hold one of `items` [N] bool, [C]; none that is remembered, as its vector was another then."""
        fresh = tf.gather(items, self.fresh)
        return tf.pad(fresh, [[0, tf.size(self.items) - tf.size(fresh)]])

    def with_remembered(self, vectors: tf.Tensor) -> tf.Tensor:
        """Vectors of all columns, [C, e], from those of the fresh ones."""
        if self.remembered is None or self.factor is None:
            return vectors
        extra = tf.cast(self.factor - 1.0, vectors.dtype)[:, None]
        amplified = vectors + extra * (vectors - tf.stop_gradient(vectors))  # by zero, but not its gradient
        return tf.concat([amplified, tf.cast(self.remembered, vectors.dtype)], axis=0)


class Mined:
    """Hard negatives: for each query, items that it has not taken and the towers rank high.

    table: [queries, depth] int32 rows of the catalogue, the best first, -1 where nothing was found; share: [N], how
    likely a draw is each item; asking: [queries], how likely it is for each query, if items were mined for all: its
    share among the training examples.
    The first two are variables that `pipelines.mining` fills; before that, nothing is there to be drawn. They are
    no weights: a fit that is resumed within an epoch needs them, and what it ends in does not.
    """

    def __init__(self, asking: np.ndarray, depth: int, items: int) -> None:
        self.asking = asking
        self.table = tf.Variable(tf.fill([len(asking), depth], -1), trainable=False)
        self.share = tf.Variable(tf.zeros([items]), trainable=False)

    @property
    def depth(self) -> int:
        """How many items a query has at most."""
        return int(self.table.shape[1])

    def fill(self, table: np.ndarray) -> None:
        """Put in what was mined, [queries, depth]."""
        share, mined = np.zeros(self.share.shape[0]), self.asking[table[:, 0] >= 0].sum()
        for place in table.T:  # by turns, as tables of millions of queries are large
            found = place >= 0
            share += np.bincount(place[found], self.asking[found], len(share)) / (self.depth * (mined or 1.0))
        self.table.assign(table)
        self.share.assign(share.astype(np.float32))


class Sampler(keras.layers.Layer):
    """Draws the columns of a step over a catalogue of N items; `width` e is that of a static item vector."""

    def __init__(self, config: Negatives, items: int, width: int, randomness: Randomness) -> None:
        super().__init__(dtype=tf.float32)
        self._config, self._items, self._randomness = config, items, randomness
        self._streams = [randomness.stream() for _ in range(8)]
        self.memory = Memory(config.memory, width) if config.memory else None

    def draw(self, target: tf.Tensor, asked: tf.Tensor, query: tf.Tensor, sources: Sources) -> Columns:
        """Columns for the positives `target` [Q]; only those where `asked` [Q] become columns.

        query: [R], of each row of the batch; a row is as many examples in turn as any other.
        """
        batch, examples = self._of_batch(target, asked, sources)
        fresh = tf.concat([batch, self._even(), self._popular(sources), self._hard(asked, query, sources)], axis=0)
        remembered = self.memory.items.read_value() if self.memory else tf.zeros([0], tf.int32)
        items = tf.concat([fresh, remembered], axis=0)
        example = tf.pad(examples, [[0, tf.size(items) - tf.size(examples)]], constant_values=-1)
        columns = Columns(tf.maximum(items, 0), items >= 0, example)

        looked_up = tf.concat([columns.items, target], axis=0)
        anew, total = self._expected(looked_up, sources)
        again = _count(remembered) * tf.gather(sources.frequency, looked_up)
        if self.memory is not None:
            factor = 1.0 + tf.math.divide_no_nan(again, anew)[: tf.size(fresh)]
            columns = replace(columns, remembered=self.memory.vectors.read_value(), factor=factor)
        if not self._config.logq:
            return columns
        log_q = tf.math.log(tf.maximum(anew + again, _NEVER) / tf.maximum(total + _count(remembered), _NEVER))
        own = log_q[tf.size(items) :] - tf.math.log(_copies(columns, target))
        return replace(columns, log_probability=log_q[: tf.size(items)], positive_log_probability=own)

    def remember(self, target: tf.Tensor, vectors: tf.Tensor, asked: tf.Tensor) -> None:
        """Keep the positives `target` [Q] of this step and their vectors [Q, e] for later ones."""
        if self.memory is not None:
            self.memory.push(target, tf.stop_gradient(vectors), asked)

    def _of_batch(self, target: tf.Tensor, asked: tf.Tensor, sources: Sources) -> tuple[tf.Tensor, tf.Tensor]:
        """Positives of as many examples as wanted, drawn without replacement, and which examples they are.

        Where the batch has no more, the rest is drawn as its positives came to be, by popularity; -1 for their example.
        """
        lots = self._randomness.draw(self._streams[0], tf.shape(target)) + tf.where(asked, 0.0, 1.0)
        chosen = tf.argsort(lots)[: self._config.in_batch]
        chosen = tf.where(tf.gather(asked, chosen), chosen, -1)
        chosen = tf.pad(chosen, [[0, self._config.in_batch - tf.size(chosen)]], constant_values=-1)
        rest = self._by_popularity(self._config.in_batch, (6, 7), sources)
        return tf.where(chosen >= 0, tf.gather(target, tf.maximum(chosen, 0)), rest), chosen

    def _even(self) -> tf.Tensor:
        return self._randomness.integers(self._streams[1], [self._config.uniform], self._items)

    def _popular(self, sources: Sources) -> tf.Tensor:
        return self._by_popularity(self._config.popular, (2, 3), sources)

    def _by_popularity(self, count: int, streams: tuple[int, int], sources: Sources) -> tf.Tensor:
        """`count` items by their share among the targets, drawn from two random streams."""
        if sources.popular is None or not count:
            return tf.zeros([count], tf.int32)
        of_cell, of_side = (self._streams[stream] for stream in streams)
        cell = self._randomness.integers(of_cell, [count], self._items)
        return sources.popular.pick(cell, self._randomness.draw(of_side, [count]))

    def _hard(self, asked: tf.Tensor, query: tf.Tensor, sources: Sources) -> tf.Tensor:
        """Items mined for the step's own queries: each example that is `asked` for, of a query that something was mined
        for, is as likely to be drawn for, and each place in its query's row of the table; -1 for empty ones.

        Drawn by rows of the batch, a query's share would depend on how its events are cut into rows and which other
        rows come with them; padding is rows too, but asks for nothing.
        """
        if sources.mined is None:
            return tf.zeros([0], tf.int32)
        shape, depth = [self._config.hard], sources.mined.depth
        mined = tf.gather(sources.mined.table, query)[:, 0] >= 0
        asked &= tf.repeat(mined, tf.size(asked) // tf.size(query))
        first_asked = tf.argsort(tf.where(asked, 0, 1), stable=True)  # the same draws whatever padding follows
        count = tf.maximum(tf.reduce_sum(tf.cast(asked, tf.int32)), 1)
        example = tf.gather(first_asked, self._randomness.integers(self._streams[4], shape, count))
        own = tf.gather(query, example // (tf.size(asked) // tf.size(query)))
        place = self._randomness.integers(self._streams[5], shape, depth)
        return tf.gather(tf.gather(sources.mined.table, own), place, batch_dims=1)  # XLA has no gather_nd of variables

    def _expected(self, items: tf.Tensor, sources: Sources) -> tuple[tf.Tensor, tf.Tensor]:
        """How many columns are drawn of each of `items`, [n], and of all: sum_s n_s q_s(j), sum_s n_s, memory aside."""
        by_share = float(self._config.in_batch + self._config.popular)  # of items among the targets
        expected = by_share * tf.gather(sources.frequency, items) + self._config.uniform / self._items
        total = tf.constant(by_share + self._config.uniform)
        if sources.mined is not None:
            expected += self._config.hard * tf.gather(sources.mined.share, items)
            total += self._config.hard * tf.reduce_sum(sources.mined.share)
        return expected, total


def _count(drawn: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(drawn >= 0, tf.float32))


def _copies(columns: Columns, target: tf.Tensor) -> tf.Tensor:
    """How many columns hold each target [Q], its own included: their share of the softmax belongs to the positive,
    which logQ alone would leave short once they are masked."""
    same = (columns.items[None, :] == target[:, None]) & columns.there[None, :]
    same &= columns.example[None, :] != tf.range(tf.size(target))[:, None]
    return 1.0 + tf.reduce_sum(tf.cast(same, tf.float32), axis=1)

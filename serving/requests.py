"""From raw request inputs to what the towers read, in the graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from configs.schema import Config
from serving.ids import ItemIds
from serving.signatures import reads_request_time, request_specs
from towers.backend import keras, shared, tf
from towers.features import Preprocess, Statistics
from towers.lookup import FIRST_KNOWN, Lookup


@dataclass(frozen=True)
class Request:
    """A batch of requests: `batch` as `TwoTower.query_vectors` takes it, `liked` [B, L] the place of what is liked
    where an entry of the history is that and no item (-1 elsewhere), `seen` [B, S] catalogue rows that must not be
    recommended (-1 is padding), `taken` [B, L] the latest known items of the history (-1 is padding, and what is
    liked), `read` [B] how many items and likes the towers read, and `segment` [B] for `mixing.Mixing`."""

    batch: dict[str, tf.Tensor]
    liked: tf.Tensor
    seen: tf.Tensor
    taken: tf.Tensor
    read: tf.Tensor
    segment: tf.Tensor


def rows_of(names: keras.layers.Layer, values: tf.Tensor) -> tf.Tensor:
    """Values of any shape to their places in the list that the lookup `names` was made of, int32; -1 for "" and the
    unknown."""
    return tf.maximum(tf.cast(names(values), tf.int32) - FIRST_KNOWN, -1)


class RequestReader:
    """Raw strings and numbers to `Request`; holds the vocabularies of one model."""

    def __init__(
        self,
        config: Config,
        fitted: Statistics,
        items: ItemIds,
        likes: Sequence[str] = (),
        representatives: np.ndarray | None = None,
        segments: Sequence[str] = (),
    ) -> None:
        """likes [V] can be said to be liked; representatives [V, n]: rows whose mean each is read as, the last of them
        the first to be there, -1 for fewer.

        segments: the values of `data.segment` that are told apart.
        """
        self._names = tuple(request_specs(config))
        self._length = config.towers.history.length
        self._filter_seen = config.data.seen_items == "filter"
        self._static, self._events = config.on("queries"), config.on("events")
        self.items = items
        self.likes, self.segments = Lookup(likes, "likes"), Lookup(segments, "segments")
        self._segment, self._last_segment = config.data.segment, len(segments)
        none = np.full((max(len(likes), 1), 1), -1, np.int32)
        self._representatives = tf.constant(none if representatives is None else representatives)
        self.static = Preprocess(self._static, fitted)
        self.context = Preprocess(self._events, fitted)

    def read(self, inputs: Mapping[str, tf.Tensor]) -> Request:
        """Read the inputs of `signatures.list_specs` (exclude may be absent).

        What is liked comes ahead of the history, as old as its first item, and is not read where a history is as long
        as the towers read. It is not seen.
        """
        batch, liked, history, taken, read, segment = self._read({name: inputs[name] for name in self._names})
        seen = history if self._filter_seen else history[:, :0]
        if "exclude" in inputs:
            seen = tf.concat([seen, self.items.rows(inputs["exclude"])], axis=1)
        return Request(batch, liked, seen, taken, read, segment)

    def history(self, tokens: Callable[[tf.Tensor], tf.Tensor], item: tf.Tensor, liked: tf.Tensor) -> tf.Tensor:
        """What towers read of a history, [B, L, d]: the tokens of its rows `item` [B, L], and where `liked` [B, L]
        names something instead, the mean of those of its representatives."""
        place = tf.where(liked >= 0)
        rows = tf.gather(self._representatives, tf.gather_nd(liked, place))
        there = tf.cast(rows >= 0, tf.float32)[..., None]
        total = tf.reduce_sum(tokens(tf.maximum(rows, 0)) * there, axis=1)
        return tf.tensor_scatter_nd_update(tokens(item), place, total / tf.reduce_sum(there, axis=1))

    @shared
    def _read(
        self, inputs: Mapping[str, tf.Tensor]
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """What the towers read, what of it is liked, the rows of the history, the latest of them, how many items and
        likes are read, and the segment."""
        history, likes = self.items.rows(inputs["history"]), rows_of(self.likes, inputs["likes"])
        best = tf.where(likes >= 0, tf.gather(self._representatives[:, -1], tf.maximum(likes, 0)), -1)
        likes = tf.where(best >= 0, likes, -1)  # nothing in the catalogue is like some
        rows, time = _behind(best, history, inputs["history_time"], inputs["time"])
        liked = tf.concat([likes, tf.fill(tf.shape(history), -1)], axis=1)
        item, mask, item_time, liked = self._latest(rows, time, liked, inputs["time"])
        batch = {
            "item": item,
            "mask": mask,
            "item_time": item_time,
            "moment": tf.concat([item_time, inputs["time"][:, None]], axis=1),
        }
        batch |= {f"static/{name}": value for name, value in self._encode(self.static, self._static, inputs).items()}
        batch |= {f"context/{name}": value for name, value in self._encode(self.context, self._events, inputs).items()}
        taken = tf.where(mask & (liked < 0), item, -1)
        return batch, liked, history, taken, _count(mask), self._column(inputs)

    def _column(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The segment of each request, [B]; one behind the last where it is none of those told apart."""
        if self._segment is None:
            return tf.fill([tf.shape(inputs["time"])[0]], self._last_segment)
        known = rows_of(self.segments, inputs[self._segment])
        return tf.where(known >= 0, known, self._last_segment)

    def _latest(
        self, rows: tf.Tensor, time: tf.Tensor, liked: tf.Tensor, now: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """The last L known entries, right-aligned: rows, mask, times and what of them is liked, each [B, L]."""
        missing = tf.maximum(self._length - tf.shape(rows)[1], 0)
        rows, liked = (tf.pad(one, [[0, 0], [missing, 0]], constant_values=-1) for one in (rows, liked))
        time = tf.pad(time, [[0, 0], [missing, 0]])
        # a stable sort moves padding and unknown items to the front and keeps the order of the rest
        order = tf.argsort(tf.cast(rows >= 0, tf.int32), axis=1, stable=True)[:, -self._length :]
        rows, liked = (tf.gather(one, order, axis=1, batch_dims=1) for one in (rows, liked))
        mask = rows >= 0
        time = tf.where(mask, tf.gather(time, order, axis=1, batch_dims=1), now[:, None])
        length = [None, self._length]
        return (
            tf.ensure_shape(tf.maximum(rows, 0), length),
            tf.ensure_shape(mask, length),
            tf.ensure_shape(time, length),
            tf.ensure_shape(liked, length),
        )

    def _encode(self, preprocess: Preprocess, features: Sequence[Any], inputs: Mapping[str, tf.Tensor]) -> dict:
        if not features:
            return {}
        return preprocess({f.name: inputs["time" if reads_request_time(f) else f.name] for f in features})

    @property
    def layers(self) -> list[keras.layers.Layer]:
        """Every layer that looks words up."""
        return [self.likes, self.segments, self.static, self.context]


def _count(there: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(there, tf.int32), axis=1)


def _behind(
    liked: tf.Tensor, history: tf.Tensor, history_time: tf.Tensor, now: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Histories [B, H] behind rows that are liked [B, n], which are as old as the oldest item; rows and times."""
    known = tf.where(history >= 0, history_time, now[:, None])
    oldest = tf.minimum(tf.reduce_min(known, axis=1), now)
    time = tf.tile(oldest[:, None], [1, tf.shape(liked)[1]])
    return tf.concat([liked, history], axis=1), tf.concat([time, history_time], axis=1)

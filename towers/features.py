"""Features in two steps: raw columns to numbers (`Preprocess`), numbers to vectors (`Embed`).

`Preprocess` holds no trained weights, so a column is encoded once and trained on many times; it is made of
Keras layers, so the same code runs inside the served graph on raw strings. What it learns from data (words,
means) is a JSON-able dict per feature, from `statistics`.

Indices of ids and categories are those of `towers.lookup`: 0 is "missing", 1 is "unknown", known values follow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from configs.features import Feature
from towers.backend import keras, tf
from towers.dropout import Randomness
from towers.lookup import FIRST_KNOWN, UNKNOWN, Lookup
from towers.words import rewrites

_NO_WORDS = ["\x01"]  # Keras refuses an empty vocabulary (and reads "\0" as ""); no data holds this string

Statistics = Mapping[str, Mapping[str, Any]]


def statistics(features: Sequence[Feature], columns: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """What each feature must remember of its column to encode later values. Keys are feature names."""
    return {feature.name: _statistics(feature, columns[feature.name]) for feature in features}


def _statistics(feature: Feature, column: np.ndarray) -> dict[str, Any]:
    if feature.kind in ("id", "category"):
        return {"vocabulary": sorted(set(map(str, column)) - {""})}
    if feature.kind == "multi_category":
        parts = {part for value in set(map(str, column)) for part in value.split(feature.separator)}
        return {"vocabulary": sorted(parts - {""})}
    if feature.kind == "number":
        values = _scaled(feature.log, np.asarray(column, np.float64))
        mean, std = float(values.mean()), float(values.std())
        # a constant column deviates by rounding alone, which must not be blown up
        return {"mean": mean, "std": std if std > 1e-6 * max(1.0, abs(mean)) else 1.0}
    if feature.kind == "text":
        layer = _text_layer(feature.words, feature.length)
        layer.adapt(tf.constant([str(value) for value in column]))
        return {"vocabulary": [str(word) for word in layer.get_vocabulary()[2:]]}
    return {}


def _scaled(log: bool, values: Any) -> Any:
    if not log:
        return values
    if isinstance(values, np.ndarray):
        return np.sign(values) * np.log1p(np.abs(values))
    return tf.sign(values) * tf.math.log1p(tf.abs(values))


def _text_layer(words: int, length: int, vocabulary: Sequence[str] | None = None) -> keras.layers.Layer:
    return keras.layers.TextVectorization(
        max_tokens=words,
        standardize=_standardised,
        output_sequence_length=length,
        vocabulary=vocabulary or None,
    )


def _standardised(texts: tf.Tensor) -> tf.Tensor:
    """Lower case, and spaces between words whatever the script: the words of `towers.words.tower_words`."""
    # ASCII first, and İ by hand: beyond it TensorFlow lowers by the locale, and in Turkish I is not i; at \0 it stops
    lower = tf.strings.lower(texts)
    for pattern, rewrite in (("İ", "i"), (r"\x00", " ")):
        lower = tf.strings.regex_replace(lower, pattern, rewrite)
    lower = tf.strings.lower(lower, encoding="utf-8")
    for pattern, rewrite in rewrites():
        lower = tf.strings.regex_replace(lower, pattern, rewrite)
    return lower


class Preprocess(keras.layers.Layer):
    """Raw columns of one table to numbers.

    In: {name: [...] strings (id, category, multi_category, text), float32 (number), int64 unix seconds (time),
    float32 [..., width] (vector)}. Out: {name: [...] int indices, [..., n] ints padded with 0
    (multi_category, text), or [..., n] floats}. Leading dimensions are kept for ids and categories; all other
    kinds take [B].
    """

    def __init__(self, features: Sequence[Feature], fitted: Statistics) -> None:
        super().__init__()
        self._features = tuple(features)
        self._fitted = {feature.name: dict(fitted[feature.name]) for feature in features}
        self._layers = {f.name: layer for f in features if (layer := self._layer(f)) is not None}

    def _layer(self, feature: Feature) -> keras.layers.Layer | None:
        vocabulary = self._fitted[feature.name].get("vocabulary")
        if feature.kind == "text":
            return _text_layer(feature.words, feature.length, vocabulary or _NO_WORDS)
        return Lookup(vocabulary, f"feature {feature.name!r}") if vocabulary is not None else None

    def call(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Encode every feature of `inputs`."""
        return {feature.name: self._encode(feature, inputs[feature.name]) for feature in self._features}

    def _encode(self, feature: Feature, value: tf.Tensor) -> tf.Tensor:
        if feature.kind == "multi_category":
            parts = tf.strings.split(value, feature.separator).to_tensor("")
            return self._layers[feature.name](parts)
        if feature.kind == "number":
            fitted = self._fitted[feature.name]
            scaled = _scaled(feature.log, tf.cast(value, tf.float32))
            return ((scaled - fitted["mean"]) / fitted["std"])[..., None]
        if feature.kind == "time":
            return _cyclical(value)
        if feature.kind == "vector":
            return tf.ensure_shape(tf.cast(value, tf.float32), [None, feature.width])
        return self._layers[feature.name](value)


def _cyclical(seconds: tf.Tensor) -> tf.Tensor:
    """[...] unix seconds to [..., 4]: sine and cosine of the hour of day and of the day of week."""
    angles = []
    for period in (86_400, 604_800):
        # the remainder is taken in integers: a float32 of unix seconds is off by a minute
        share = tf.cast(tf.math.floormod(tf.cast(seconds, tf.int64), period), tf.float32) / period
        angles += [tf.sin(2 * np.pi * share), tf.cos(2 * np.pi * share)]
    return tf.stack(angles, axis=-1)


def encode(preprocess: Preprocess, columns: Mapping[str, np.ndarray], block: int = 65_536) -> dict[str, np.ndarray]:
    """Run `preprocess` over whole columns in blocks; {name: [n, ...]} arrays."""
    rows = len(next(iter(columns.values()))) if columns else 0
    blocks = []
    for start in range(0, rows, block):
        part = {name: tf.constant(column[start : start + block]) for name, column in columns.items()}
        blocks.append({name: value.numpy() for name, value in preprocess(part).items()})
    return {name: _stack([part[name] for part in blocks]) for name in (blocks[0] if blocks else {})}


def _stack(parts: list[np.ndarray]) -> np.ndarray:
    if parts[0].ndim == 2 and parts[0].dtype.kind == "i":  # blocks may be padded to different widths
        width = max(part.shape[1] for part in parts)
        parts = [np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in parts]
    return np.concatenate(parts)


def _table(size: int, dimension: int) -> keras.layers.Layer:
    """Embeddings whose rows for "missing" and "unknown" start at zero: what training may never meet says nothing."""

    def start(shape: Sequence[int], dtype: tf.DType | None = None, **_: Any) -> tf.Tensor:
        known = tf.cast(tf.range(shape[0]) >= FIRST_KNOWN, tf.float32)[:, None]
        return keras.initializers.RandomNormal(stddev=0.05)(shape) * known

    return keras.layers.Embedding(size, dimension, embeddings_initializer=start)


class IdEmbedding(keras.layers.Layer):
    """Embedding of an id that treats rare ids as unknown and, in training, hides some at random.

    The unknown row is thereby trained on what content says when the id says nothing, which is what a cold item
    or user gets. `known` [size] marks the ids seen often enough; `set_known` changes it before a refit.
    """

    def __init__(self, size: int, dimension: int, dropout: float, randomness: Randomness) -> None:
        super().__init__()
        self.table = _table(size, dimension)
        self.known = tf.Variable(tf.ones([size], tf.bool), trainable=False, name="known")
        self._dropout = dropout
        self._draw = randomness.draw
        self._stream = randomness.stream()

    def set_known(self, counts: np.ndarray, min_count: int) -> None:
        """Mark ids with at least `min_count` of `counts` as known; indices beyond `counts` have none."""
        known = np.zeros(self.known.shape[0], bool)
        known[: len(counts)] = counts >= min_count
        known[:FIRST_KNOWN] = True
        if self.table.built:  # an id that becomes known starts from where the unknown row has got to
            fresh = known & ~self.known.numpy()
            weights = self.table.embeddings.numpy()
            weights[fresh] = weights[UNKNOWN]
            self.table.embeddings.assign(weights)
        self.known.assign(known)

    def call(self, index: tf.Tensor, training: bool = False) -> tf.Tensor:
        """[...] indices to [..., dimension]."""
        visible = tf.gather(self.known, index)
        if training and self._dropout > 0:
            visible &= self._draw(self._stream, tf.shape(index)) >= self._dropout
        return self.table(tf.where(visible, index, tf.cast(UNKNOWN, index.dtype)))


class _BagEmbedding(keras.layers.Layer):
    """Mean of the embeddings of [..., n] indices, of which 0 is padding; zero for an empty bag."""

    def __init__(self, size: int, dimension: int) -> None:
        super().__init__()
        self.table = _table(size, dimension)

    def call(self, index: tf.Tensor) -> tf.Tensor:
        present = tf.cast(index > 0, self.compute_dtype)[..., None]
        total = tf.reduce_sum(self.table(index) * present, axis=-2)
        return total / tf.maximum(tf.reduce_sum(present, axis=-2), 1.0)


class Embed(keras.layers.Layer):
    """Encoded features of one table to one vector: the concatenation of all of them, [..., width]."""

    def __init__(self, features: Sequence[Feature], fitted: Statistics, randomness: Randomness) -> None:
        super().__init__()
        self._features = tuple(features)
        self.tables: dict[str, keras.layers.Layer] = {}
        for feature in features:
            if (layer := _embedding(feature, fitted[feature.name], randomness)) is not None:
                self.tables[feature.name] = layer

    def set_known(self, counts: Mapping[str, np.ndarray]) -> None:
        """Tell each id feature how often each of its ids was seen; {name: counts by index}."""
        for feature in self._features:
            if feature.kind == "id":
                self.tables[feature.name].set_known(counts[feature.name], feature.min_count)

    def call(self, encoded: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Concatenate the embeddings of every feature."""
        parts = []
        for feature in self._features:
            value = encoded[feature.name]
            if feature.kind == "id":
                value = self.tables[feature.name](value, training=training)
            elif feature.name in self.tables:
                value = self.tables[feature.name](value)
            parts.append(value)
        return tf.concat(parts, axis=-1)


def _embedding(feature: Feature, fitted: Mapping[str, Any], randomness: Randomness) -> keras.layers.Layer | None:
    size = len(fitted.get("vocabulary", ())) + FIRST_KNOWN
    if feature.kind == "id":
        return IdEmbedding(size, feature.dimension, feature.dropout, randomness)
    if feature.kind == "category":
        return _table(size, feature.dimension)
    if feature.kind in ("multi_category", "text"):
        return _BagEmbedding(size, feature.dimension)
    if feature.kind == "vector":
        return keras.layers.Dense(feature.dimension)
    return None

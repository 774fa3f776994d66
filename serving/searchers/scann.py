"""ScaNN in the graph (Guo et al. 2020): quantised scores for all items, exact scores for the best of them.

Uses `scann_ops` directly: the layer of TensorFlow Recommenders reorders nothing and returns phantom items.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scann.scann_ops.py import scann_ops

from serving.searchers.base import GROWTH, IN_PLACE, NOTHING, USUAL, deeper, doubled, held, more_leaves, pad
from towers.backend import tf

_TREE_FROM = 100_000  # items; below, hashing every item is as fast (ScaNN's guidance)
_HASH_FROM = 100  # items; codebooks cannot be learned on fewer
_SLACK = 4  # items in the leaves searched, at least, for each one asked for
_SAMPLE = 250_000  # items that the tree is learned on
_REORDER = (2, 4, 8, 16, 32)  # items scored exactly, for each one asked for
_SHARES = (0.005, 0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)  # of the leaves
_TENSORS = (  # of ScaNN's state, in the order in which it takes them
    "scann_config",
    "serialized_partitioner",
    "datapoint_to_token",
    "ah_codebook",
    "hashed_dataset",
    "int8_dataset",
    "int8_multipliers",
    "dp_norms",
    "dataset",
)
_MADE_OF = ("dataset", *(name for name in _TENSORS if name != "dataset"))
_CODES = 32  # items scored by their codes in the time that one takes whose vector is copied and scored
_STRINGS = ("scann_config", "serialized_partitioner", "ah_codebook")


@dataclass(frozen=True)
class Layout:
    """Leaves of the tree, 0 for none; dimensions that share one 4-bit code, 0 for no codes (brute force); above which
    score, as a share of the largest, an error along the vector counts for more (anisotropic threshold); and whether the
    leaves' centres are of unit length, as suits vectors of one length. Of more than one shard all this is said of each
    (`sharded.Sharded`)."""

    leaves: int
    dims: int
    threshold: float
    shards: int = 1
    spherical: bool = False

    @classmethod
    def of(cls, size: int) -> Layout:
        """ScaNN's guidance for `size` items."""
        leaves = round(math.sqrt(size)) if size >= _TREE_FROM else 0
        return cls(leaves, 2 if size >= _HASH_FROM else 0, 0.2)


@dataclass(frozen=True)
class Effort:
    """Leaves searched (0 without a tree) for k items, how many are scored exactly, and to which power of what is asked
    for beyond k leaves grow."""

    leaves: int
    reorder: int
    k: int = USUAL
    growth: float = GROWTH


class Scann(tf.Module):
    """Asymmetric hashing with exact reordering; above 100,000 items behind a tree of about sqrt(N) leaves, whose items
    are all scored exactly where the layout has no codes.

    ScaNN makes its own searcher of the tensors, half as large as they are. It goes by a name, so that every signature
    of an exported graph uses the same one, which is made while the graph is loaded.

    A call that asks for more searches more, in steps of two: a query would else be answered differently in another
    batch, whose longest history asks for more. Codes err as much further down.
    """

    kind, layout_type = "scann", Layout

    def __init__(self, state: scann_ops.ScannState, size: int, layout: Layout, effort: Effort) -> None:
        super().__init__()
        self.state = state
        name = f"scann-{uuid.uuid4()}"
        self._made = partial(_made, state, name)
        self._when_loaded = _WhenLoaded(name, self._made)
        self._searched = False
        self.size = size
        self.count = tf.Variable(size, trainable=False)
        self.layout, self.effort = layout, effort

    @classmethod
    def build(cls, vectors: np.ndarray, layout: Layout | None = None) -> Scann:
        """Build over `vectors` [N, D]."""
        layout = layout or Layout.of(len(vectors))
        builder = scann_ops.builder(np.asarray(vectors, np.float32), min(100, len(vectors)), "dot_product")
        searched = math.ceil(layout.leaves / 10)
        if layout.leaves:
            sample = min(len(vectors), _SAMPLE)
            builder = builder.tree(layout.leaves, searched, training_sample_size=sample, spherical=layout.spherical)
        if layout.dims:
            hashing = builder.score_ah(layout.dims, anisotropic_quantization_threshold=layout.threshold)
            builder = hashing.reorder(200)
        else:
            builder = builder.score_brute_force()
        built = builder.build()
        state = built.serialize_to_module()
        tf.raw_ops.DestroyResourceOp(resource=built.searcher_handle, ignore_lookup_error=True)
        return cls(state, len(vectors), layout, Effort(searched, reorder=500))

    @classmethod
    def restore(cls, parts: Mapping[str, np.ndarray]) -> Scann:
        """Rebuild from saved arrays."""
        tensors = [_tensor(name, parts[name]) for name in _TENSORS]
        spherical = bool(parts["spherical"]) if "spherical" in parts else False
        layout = Layout(int(parts["leaves"]), int(parts["dims"]), float(parts["threshold"]), spherical=spherical)
        growth = float(parts["growth"]) if "growth" in parts else GROWTH
        effort = Effort(int(parts["searched"]), int(parts["reorder"]), int(parts["k"]), growth)
        return cls(scann_ops.ScannState(tensors), int(parts["size"]), layout, effort)

    @property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """ScaNN's tensors, the layout and the effort."""
        layout = {name: getattr(self.layout, name) for name in ("leaves", "dims", "threshold", "spherical")}
        own = self.effort
        effort = {"searched": own.leaves, "reorder": own.reorder, "k": own.k, "growth": own.growth}
        numbers = {"size": self.size, **layout, **effort}
        tensors = {name: _array(name, getattr(self.state, name)) for name in _TENSORS}
        return {name: np.array(number) for name, number in numbers.items()} | tensors

    def efforts(self, k: int) -> Sequence[Sequence[Effort]]:
        """For each number of items scored exactly, more and more leaves; without a tree, a ladder of those numbers;
        without codes, one of leaves."""
        if self.layout.leaves and not self.layout.dims:
            return [[Effort(leaves, k, k) for leaves in self._ladder()]]
        reorders = sorted({min(times * k, self.size) for times in _REORDER})
        if not self.layout.leaves:
            return [[Effort(0, reorder, k) for reorder in reorders]]
        return [[Effort(leaves, reorder, k) for leaves in self._ladder()] for reorder in reorders]

    def layouts(self) -> Sequence[Layout]:
        """Leaves without codes, other centres, more and fewer leaves, shorter and longer codes, other thresholds."""
        more, fewer = ([round(self.layout.leaves * times)] if self.layout.leaves else [] for times in (2.0, 0.5))
        if not self.layout.dims:
            other = replace(self.layout, spherical=not self.layout.spherical)
            return [other, *(replace(self.layout, leaves=number) for number in (*more, *fewer))]
        return [  # a better one starts anew from itself
            *(replace(self.layout, leaves=number, dims=0, spherical=True) for number in more),
            *(replace(self.layout, leaves=number, dims=0) for number in more),
            *(replace(self.layout, leaves=number) for number in more),
            *(replace(self.layout, leaves=number) for number in fewer),
            *(replace(self.layout, dims=number) for number in (1, 4)),
            *(replace(self.layout, threshold=number) for number in (0.1, 0.35)),
        ]

    @property
    def parts(self) -> Mapping[str, tf.Variable]:
        """ScaNN's tensors, and how many items they are of."""
        return {"count": self.count, **{f"state/{name}": getattr(self.state, name) for name in _TENSORS}}

    @property
    def nbytes(self) -> int:
        """Bytes of ScaNN's tensors."""
        parts = [getattr(self.state, name) for name in _TENSORS if name not in _STRINGS]
        return sum(int(tf.size(part)) * part.dtype.size for part in parts)

    def cost(self, k: tf.Tensor) -> tf.Tensor:
        """See `Searcher.cost`: codes of the items in the leaves searched, and vectors scored exactly."""
        found, items = tf.minimum(k, self.count), tf.cast(self.count, tf.float32)
        if self.layout.leaves:
            items *= tf.cast(self._leaves(found), tf.float32) / self.layout.leaves
        if not self.layout.dims:
            return items / IN_PLACE * tf.ones(tf.shape(k))
        return items / _CODES + tf.cast(self._exactly(found), tf.float32)

    def search(self, queries: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Searcher.search`."""
        self._searched = True
        searcher = scann_ops.ScannSearcher(self._made())
        found, asked = tf.minimum(k, self.count), tf.shape(queries)[0]
        queries = tf.pad(queries, [[0, tf.cast(asked == 0, tf.int32)], [0, 0]])  # a tree fails on an empty batch
        rows, scores = searcher.search_batched(
            queries,
            final_num_neighbors=found,
            pre_reorder_num_neighbors=self._exactly(found),
            leaves_to_search=tf.where(asked > 0, self._leaves(found), 1) if self.layout.leaves else None,
        )
        rows, scores = rows[:asked], scores[:asked]
        phantom = tf.math.is_nan(scores)  # places without an item come back as row 0
        return pad(tf.where(phantom, -np.inf, scores), tf.where(phantom, NOTHING, rows), k)

    def _ladder(self) -> Sequence[int]:
        return sorted({math.ceil(share * self.layout.leaves) for share in _SHARES})

    def release(self) -> None:
        """See `Searcher.release`."""
        if self._searched:
            tf.raw_ops.DestroyResourceOp(resource=self._made(), ignore_lookup_error=True)
            self._searched = False

    def _exactly(self, found: tf.Tensor) -> tf.Tensor:
        """Items scored exactly for so many."""
        return tf.minimum(tf.maximum(self.effort.reorder * deeper(found, self.effort.k), found), self.count)

    def _leaves(self, found: tf.Tensor) -> tf.Tensor:
        """Leaves searched for so many items: those of the effort, and more where these could not hold enough."""
        share = tf.cast(_SLACK * found, tf.float32) / tf.cast(self.count, tf.float32)
        needed = tf.cast(tf.math.ceil(share * self.layout.leaves), tf.int32)
        leaves = more_leaves(self.effort.leaves, found, self.effort.k, self.effort.growth)
        return tf.minimum(tf.maximum(leaves, doubled(needed, self.effort.leaves)), self.layout.leaves)


class _WhenLoaded(tf.saved_model.experimental.TrackableResource):
    """Has ScaNN make its searcher while an exported graph is loaded: before any call, of which the first two of two
    signatures could else make it at once."""

    def __init__(self, name: str, make: Callable[[], tf.Tensor]) -> None:
        super().__init__()
        self._named, self._make = name, make

    def _create_resource(self) -> tf.Tensor:
        """Something that is called by a name: the searcher itself cannot be made before its tensors are read."""
        return tf.raw_ops.MutexV2(container="", shared_name=f"{self._named}-loaded")

    def _initialize(self) -> None:
        self._make()


def _made(state: scann_ops.ScannState, name: str) -> tf.Tensor:
    """The searcher of that name, made of the tensors where it does not exist."""
    return scann_ops.tensors_to_scann(*(getattr(state, part) for part in _MADE_OF), container="", shared_name=name)


def _array(name: str, part: tf.Variable) -> np.ndarray:
    """A tensor of ScaNN's state, or texts as bytes."""
    if name in _STRINGS:
        return np.frombuffer(tf.io.serialize_tensor(part.read_value()).numpy(), np.uint8)
    return held(part)  # serialised as one message, ten million vectors would pass its 2 GB


def _tensor(name: str, array: np.ndarray) -> tf.Tensor:
    return tf.io.parse_tensor(array.tobytes(), tf.string) if name in _STRINGS else tf.constant(array)

"""The variables of a SavedModel on disk, read and written without building its graph."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from towers.backend import tf

_PREFIX = Path("variables") / "variables"
_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


def read_variables(model: Path, only: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """All variables by their path from the exported module, such as "retrieval/static", and the graph of objects; or
    only those of the given names."""
    reader = tf.train.load_checkpoint(str(model / _PREFIX))
    names = reader.get_variable_to_shape_map() if only is None else map(_key, only)
    return {_name(key): reader.get_tensor(key) for key in names}


def names_of_variables(model: Path) -> list[str]:
    """What `read_variables` would read."""
    return sorted(map(_name, tf.train.load_checkpoint(str(model / _PREFIX)).get_variable_to_shape_map()))


def write_variables(model: Path, variables: Mapping[str, np.ndarray], others: Path | None = None) -> None:
    """Write what `read_variables` read, changed or not: of the same types, and of shapes that the graph takes; and
    beside them, in a shard of its own, what the model `others` has that they do not name, as it is."""
    given = {_key(name): value for name, value in variables.items()}
    shards: list[Callable[[], dict[str, tf.Tensor]]] = [
        lambda: {key: tf.constant(value) for key, value in given.items()},
        *([lambda: _tensors(others, given)] if others else []),
    ]
    prefixes = [str(model / _PREFIX.parent / f"shard-{number}" / "part") for number in range(len(shards))]
    with ThreadPoolExecutor(len(shards)) as writers:  # writing a gigabyte keeps a core busy for seconds
        list(writers.map(lambda prefix, tensors: _save(prefix, tensors()), prefixes, shards))
    tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=prefixes, destination_prefix=str(model / _PREFIX), delete_old_dirs=True
    )


def _save(prefix: str, tensors: Mapping[str, tf.Tensor]) -> None:
    Path(prefix).parent.mkdir(parents=True)
    keys = sorted(tensors)
    values = [tensors[key] for key in keys]
    tf.raw_ops.SaveV2(prefix=prefix, tensor_names=keys, shape_and_slices=[""] * len(keys), tensors=values)


def _tensors(model: Path, but: Collection[str]) -> dict[str, tf.Tensor]:
    """Every stored tensor but those of the given keys, which never were arrays: that would copy them twice."""
    types = tf.train.load_checkpoint(str(model / _PREFIX)).get_variable_to_dtype_map()
    keys = [key for key in types if key not in but]
    values = tf.raw_ops.RestoreV2(
        prefix=str(model / _PREFIX),
        tensor_names=keys,
        shape_and_slices=[""] * len(keys),
        dtypes=[types[key] for key in keys],
    )
    return dict(zip(keys, values, strict=True))


def _key(name: str) -> str:
    return name if name == _OBJECT_GRAPH else name + _VALUE


def _name(key: str) -> str:
    return key.removesuffix(_VALUE)

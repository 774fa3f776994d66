"""The variables of a SavedModel on disk, read and written without building its graph."""

from __future__ import annotations

from collections.abc import Collection, Mapping
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
    names = reader.get_variable_to_shape_map() if only is None else [name + _VALUE for name in only]
    return {name.removesuffix(_VALUE): reader.get_tensor(name) for name in names}


def write_variables(model: Path, variables: Mapping[str, np.ndarray]) -> None:
    """Write what `read_variables` read, changed or not: of the same types, and of shapes that the graph takes."""
    names = sorted(variables)
    (model / _PREFIX).parent.mkdir(parents=True, exist_ok=True)
    tf.raw_ops.SaveV2(
        prefix=str(model / _PREFIX),
        tensor_names=[name if name == _OBJECT_GRAPH else name + _VALUE for name in names],
        shape_and_slices=[""] * len(names),
        tensors=[tf.constant(variables[name]) for name in names],
    )

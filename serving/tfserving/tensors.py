"""Arrays as `TensorProto`, and back, as TensorFlow reads and writes them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from serving.tensors import DTYPES, as_utf8
from serving.tfserving.messages import TensorProto
from serving.tfserving.predict import Refused

# the list of a TensorProto that holds the elements of each type
_LISTS = {
    "float32": "float_val",
    "float64": "double_val",
    "int32": "int_val",
    "uint8": "int_val",
    "string": "string_val",
    "int64": "int64_val",
    "bool": "bool_val",
}
_NAMES = {number: name for name, number in DTYPES.items()}
_LARGEST = 2**24  # elements of an array that a message says only once or not at all
_MOST = 2**40  # elements of any array
_DEEPEST = 32  # dimensions


def proto_of(array: np.ndarray) -> Any:
    """A `TensorProto` with its elements one by one, as TF Serving answers by default. Texts are str or bytes."""
    strings = array.dtype.kind in "OUST"
    dtype = "string" if strings else array.dtype.name
    proto = TensorProto(dtype=DTYPES[dtype])
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    elements = as_utf8("tensor", array) if strings else array.ravel().tolist()
    getattr(proto, _LISTS[dtype]).extend(elements)
    return proto


def array_of(name: str, proto: Any) -> np.ndarray:
    """The array of a `TensorProto`; texts as an object array of bytes, numbers not to be written to.

    A list that is shorter than the array goes on with its last element, an empty one with zeros or "".
    Raises: Refused, which names the tensor.
    """
    if proto.dtype not in _NAMES:
        expected = f"expected one of {[*DTYPES]}"
        raise _refused(name, f"found data type number {proto.dtype}, {expected}")
    dtype, shape = _NAMES[proto.dtype], _shape(name, proto.tensor_shape)
    size, strings = math.prod(shape), dtype == "string"
    if proto.tensor_content and not strings:
        if len(proto.tensor_content) != size * np.dtype(dtype).itemsize:
            raise _refused(name, f"found {len(proto.tensor_content)} bytes of content, expected {shape} of {dtype}")
        return np.frombuffer(proto.tensor_content, np.dtype(dtype).newbyteorder("<")).reshape(shape).astype(dtype)
    elements: Sequence[Any] = getattr(proto, _LISTS[dtype])
    if len(elements) > size:
        raise _refused(name, f"found {len(elements)} elements, expected at most {size} of the shape {shape}")
    if len(elements) < size and size > _LARGEST:
        raise _refused(name, f"found {len(elements)} elements for the shape {shape}, expected all of them")
    if dtype == "uint8" and elements and not 0 <= min(elements) <= max(elements) <= 255:  # a list of 32 bits each
        raise _refused(name, "found an element that is no uint8, expected 0 to 255")
    array = np.empty(size, object if strings else dtype)
    array[: len(elements)] = elements
    array[len(elements) :] = elements[-1] if elements else b"" if strings else 0
    return array.reshape(shape)


def _shape(name: str, shape: Any) -> list[int]:
    if shape.unknown_rank:
        raise _refused(name, "found a shape of any rank, expected sizes")
    sizes = [dim.size for dim in shape.dim]
    most = math.prod(filter(None, sizes))  # numpy counts what there could be if no dimension were 0
    if len(sizes) > _DEEPEST or min(sizes, default=0) < 0 or most > _MOST:
        raise _refused(name, f"found the shape {sizes}, expected up to {_DEEPEST} sizes of 0 or more")
    return sizes


def _refused(name: str, said: str) -> Refused:
    return Refused("INVALID_ARGUMENT", f"input {name!r}: {said}")

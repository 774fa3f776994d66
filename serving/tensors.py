"""numpy's arrays as TensorFlow's tensors, and back, in few calls of the C API.

Every tensor holds a copy. One over an array's own memory would be read after it is gone where a graph keeps what it
was fed, and numpy's memory is rarely aligned as TensorFlow wants it, which then copies all the same.
"""

import ctypes
import functools
import math
import struct
from typing import Any, NamedTuple

import numpy as np

from serving.c_api import functions

# TF_DataType, numbered as in tensorflow/c/tf_datatype.h.
DTYPES = {"float32": 1, "float64": 2, "int32": 3, "uint8": 4, "string": 7, "int64": 9, "bool": 10}
_STRING = "string"
_NUMBERS = {name: np.dtype(name) for name in DTYPES if name != _STRING}

# TF_TString, as in tensorflow/core/platform/ctstring_internal.h, on a little-endian machine: 24 bytes, the lowest two
# bits of which say its type. A small one, 0, has its length above these bits, and its text in the bytes that follow.
# The text of any other lies elsewhere, and is left to TensorFlow.
_SMALL = struct.Struct("B23s")
_MOST = 22  # bytes of a small text, which ends in a zero
_EMPTY = bytes(_SMALL.size)

_SHAPES = 1024  # of inputs that are remembered: calls have few


class Spec(NamedTuple):
    """An input or output of a signature. A dimension of None has any size, a shape of None any rank."""

    where: str  # what an error calls it
    name: str
    dtype: str
    shape: tuple[int | None, ...] | None


class Value(NamedTuple):
    """A checked input: numbers as their bytes in C order, strings as a flat list of bytes."""

    dtype: str
    shape: tuple[int, ...]
    data: Any


def check(spec: Spec, given: Any) -> Value:
    """What an input is to hold. Raises: ValueError, one line that names it."""
    array = np.asarray(given)
    if spec.shape is not None and not _fits(spec.shape, array.shape):
        raise ValueError(f"{spec.where}: found shape {list(array.shape)}, expected {list(spec.shape)}")
    if spec.dtype == _STRING and array.dtype.kind in "OUST":
        return Value(_STRING, array.shape, as_utf8(spec.where, array))
    if spec.dtype == _STRING or (
        array.dtype != _NUMBERS[spec.dtype] and not np.can_cast(array.dtype, spec.dtype, "safe")
    ):
        raise ValueError(f"{spec.where}: found dtype {array.dtype}, expected {spec.dtype}")
    return Value(spec.dtype, array.shape, np.asarray(array, _NUMBERS[spec.dtype]).tobytes())


def as_utf8(where: str, texts: np.ndarray) -> list[bytes]:
    """Texts of any shape, str or bytes, one after the other. Raises: ValueError, which says `where`."""
    try:
        return [value if isinstance(value, bytes) else str.encode(value) for value in texts.ravel().tolist()]
    except (TypeError, UnicodeEncodeError) as error:
        raise ValueError(f"{where}: found an element that is no text ({error}), expected str or bytes") from error


def to_tensor(value: Value) -> int:
    """A new TF_Tensor with a copy of the value, to be deleted by the caller."""
    api = functions()
    strings = value.dtype == _STRING
    block = _small(value.data) if strings else value.data
    tensor = api.TF_AllocateTensor(DTYPES[value.dtype], _dims(value.shape), len(value.shape), len(block))
    if not block:
        return tensor
    data = api.TF_TensorData(tensor)
    api.memmove(data, block, len(block))
    if strings:
        for place, text in enumerate(value.data):
            if len(text) > _MOST:
                api.TF_StringCopy(data + place * _SMALL.size, text, len(text))
    return tensor


def to_array(tensor: int, dtype: str) -> np.ndarray:
    """A copy of a TF_Tensor of that type; strings as an object array of bytes."""
    api = functions()
    shape = [api.TF_Dim(tensor, axis) for axis in range(api.TF_NumDims(tensor))]
    size, data = math.prod(shape), api.TF_TensorData(tensor)
    if dtype == _STRING:
        array = np.empty(size, object)
        array[:] = _texts(data, size)
        return array.reshape(shape)
    kind = _NUMBERS[dtype]
    return np.ndarray(shape, kind, api.PyByteArray_FromStringAndSize(data, size * kind.itemsize))


@functools.lru_cache(maxsize=_SHAPES)
def _fits(expected: tuple[int | None, ...], found: tuple[int, ...]) -> bool:
    return len(expected) == len(found) and all(want in (None, size) for want, size in zip(expected, found, strict=True))


@functools.lru_cache(maxsize=_SHAPES)
def _dims(shape: tuple[int, ...]) -> ctypes.Array:
    return (ctypes.c_int64 * len(shape))(*shape)


def _small(texts: list[bytes]) -> bytes:
    """Small texts as they lie in a tensor, empty ones in the place of others."""
    return b"".join([_SMALL.pack(len(text) << 2, text) if len(text) <= _MOST else _EMPTY for text in texts])


def _texts(data: int, count: int) -> list[bytes]:
    """So many texts of a tensor."""
    step = _SMALL.size
    block = ctypes.string_at(data, count * step) if count else b""
    return [
        _other(data + start) if block[start] & 3 else block[start + 1 : start + 1 + (block[start] >> 2)]
        for start in range(0, len(block), step)
    ]


def _other(text: int) -> bytes:
    """A text that lies elsewhere."""
    api = functions()
    return ctypes.string_at(api.TF_StringGetDataPointer(text), api.TF_StringGetSize(text))

"""A call and its answer as bytes: a head in JSON, and arrays behind it as they lie in memory.

    frame   12 bytes, how long head and body are (unsigned, little-endian, of 4 and 8 bytes); head; body
    head    {"arrays": [[name, dtype, shape], ...]} and whatever else is to be said: of a call {"signature": name,
            "outputs": [name, ...], or null for all}; of an answer that holds no arrays {"error": [INVALID or FAILED,
            code, message]}
    body    the arrays one behind the other: numbers in C order; texts as the length of each (unsigned, 4 bytes) and
            then all of them as UTF-8

Both ends are one version of one package on one machine, so a frame says no version and numbers keep their byte order.
No pickle: what is read runs nothing.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from serving.tensors import DTYPES, as_utf8

INVALID, FAILED = "invalid", "failed"  # inputs that do not fit; what TensorFlow said instead
SIZES = struct.Struct("<IQ")  # before each frame: bytes of its head and of its body
_TEXT = "string"

Arrays = dict[str, np.ndarray]


def pack(head: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """A frame. Texts are object arrays of str or bytes, or numpy's own text types.

    Raises: ValueError for an element that is no text, and for a type that a graph does not take.
    """
    described, parts = [], []
    for name, value in arrays.items():
        array = np.asarray(value)
        dtype, blocks = _packed(name, array)
        described.append([name, dtype, array.shape])
        parts += blocks
    body = b"".join(parts)
    said = json.dumps({**head, "arrays": described}).encode()
    return SIZES.pack(len(said), len(body)) + said + body


def unpack(head: bytes, body: bytes) -> tuple[dict[str, Any], Arrays]:
    """What `pack` was given; texts as object arrays of bytes, numbers not to be written to."""
    said, found, place = json.loads(head), {}, 0
    for name, dtype, shape in said.pop("arrays"):
        size = math.prod(shape)
        if dtype != _TEXT:
            found[name] = np.frombuffer(body, dtype, size, place).reshape(shape)
            place += found[name].nbytes
            continue
        ends = [*accumulate(struct.unpack_from(f"={size}I", body, place), initial=place + 4 * size)]
        place, array = ends[-1], np.empty(size, object)
        array[:] = [body[start:end] for start, end in pairwise(ends)]
        found[name] = array.reshape(shape)
    return said, found


def _packed(name: str, array: np.ndarray) -> tuple[str, list[bytes]]:
    if array.dtype.kind in "OUST":
        texts = as_utf8(name, array)
        return _TEXT, [struct.pack(f"={len(texts)}I", *map(len, texts)), *texts]
    if array.dtype.name not in DTYPES:
        raise ValueError(f"{name}: found {array.dtype}, expected one of {[*DTYPES]}")
    return array.dtype.name, [array.astype(array.dtype.newbyteorder("="), copy=False).tobytes()]

"""The body of a `:predict` request to arrays, by the rules of TF Serving's REST interface (`json_tensor.cc`).

Values are looked at level by level and never one by one: what a batch of requests costs here is waited for by all.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from pydantic_core import from_json

from serving.tfserving.predict import DEFAULT_SIGNATURE, Refused

_DEEPEST = 32  # levels of a nested list; numpy takes 64
_SHOWN = 100  # characters of a value in an error
_WHOLE = {"float32": 2**24 - 1, "float64": 2**53 - 1}  # beyond which whole numbers have neighbours that are not theirs
_TYPES = {
    type(None): "Null",
    bool: "Bool",
    dict: "Object",
    list: "Array",
    str: "String",
    int: "Number",
    float: "Number",
}
_NAMES = {"float32": "float", "float64": "double"}  # as TensorFlow calls them


class Request(NamedTuple):
    """A request for a prediction; `rows` says that it came as `instances`, and so wants `predictions`."""

    signature: str
    rows: bool
    inputs: dict[str, np.ndarray]


def decode(body: bytes, signatures: Mapping[str, Any]) -> Request:
    """What a body asks of a model that has these signatures. Texts become object arrays of str or bytes.

    Raises: Refused.
    """
    document = _parse(body)
    signature = document.get("signature_name", DEFAULT_SIGNATURE)
    if not isinstance(signature, str):
        raise _invalid(f"{_json(document)} not formatted correctly. 'signature_name' key must be a string value.")
    signature = signature or DEFAULT_SIGNATURE
    if signature not in signatures:
        raise Refused("INVALID_ARGUMENT", f'Serving signature name: "{signature}" not found in signature def')
    dtypes = {name: row["dtype"] for name, row in signatures[signature]["inputs"].items()}
    if not dtypes:
        raise Refused("INVALID_ARGUMENT", f"Failed to get input map for signature: {signature}")
    rows = "instances" in document
    if rows and "inputs" in document:
        raise _invalid(f"{_json(document)} Not formatted correctly expecting only one of 'inputs' or 'instances' keys")
    if not rows and "inputs" not in document:
        raise Refused("INVALID_ARGUMENT", "Missing 'inputs' or 'instances' key")
    inputs = _from_rows(document["instances"], dtypes) if rows else _from_columns(document["inputs"], dtypes)
    return Request(signature, rows, inputs)


def _parse(body: bytes) -> dict[str, Any]:
    if not body.strip():
        raise Refused("INVALID_ARGUMENT", "JSON Parse error: The document is empty")
    try:
        document = from_json(body)
    except ValueError as error:
        raise Refused("INVALID_ARGUMENT", f"JSON Parse error: {error}") from error
    if not isinstance(document, dict):
        raise _invalid(f"{_json(document)} Is not object")
    return document


def _from_columns(value: Any, dtypes: Mapping[str, str]) -> dict[str, np.ndarray]:
    if not isinstance(value, dict) or _is_base64(value):
        if len(dtypes) > 1:
            raise Refused(
                "INVALID_ARGUMENT",
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per"
                f" tensorinfo_map: {','.join(sorted(dtypes))}",
            )
        value = dict.fromkeys(dtypes, value)
    for name in dtypes:
        if name not in value:
            raise Refused("INVALID_ARGUMENT", f"Missing named input: {name} in 'inputs' object.")
    return {name: _named(name, value[name], dtype) for name, dtype in dtypes.items()}


def _named(name: str, value: Any, dtype: str) -> np.ndarray:
    try:
        return array_of(value, dtype)
    except Refused as error:
        raise Refused(error.code, f"Failed to process input: {name}. Error: {error.message}") from error


def _from_rows(rows: Any, dtypes: Mapping[str, str]) -> dict[str, np.ndarray]:
    if not isinstance(rows, list):
        raise _invalid(f"{_json(rows)} Expecting 'instances' to be an list/array")
    if not rows:
        raise _invalid("[] No values in 'instances' array")
    if _is_object(rows[0]):
        return _from_objects(rows, dtypes)
    if len(dtypes) > 1:
        raise Refused(
            "INVALID_ARGUMENT",
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per"
            f" tensorinfo_map: {','.join(sorted(dtypes))}",
        )
    for place, row in enumerate(rows):
        if _is_object(row):
            found = f"Expecting value/list but got object at item {place} of input list"
            raise Refused("INVALID_ARGUMENT", found)
    return {name: _stacked(rows, dtype, "") for name, dtype in dtypes.items()}


def _from_objects(rows: list[Any], dtypes: Mapping[str, str]) -> dict[str, np.ndarray]:
    for place, row in enumerate(rows):
        if not _is_object(row):
            raise Refused("INVALID_ARGUMENT", f"Expecting object but got list at item {place} of input list")
        if row.keys() != dtypes.keys():
            found = f"Failed to process element: {place} of 'instances' list. JSON object: {_json(row)}"
            wrong = ",".join(sorted(row.keys() ^ dtypes.keys()))
            expected = f"keys must be equal to: {','.join(sorted(dtypes))} (differing: {wrong})"
            raise Refused("INVALID_ARGUMENT", f"{found} {expected}")
    return {name: _stacked([row[name] for row in rows], dtype, f" key: {name}") for name, dtype in dtypes.items()}


def _stacked(values: list[Any], dtype: str, key: str) -> np.ndarray:
    """One value a row, all of one shape, [rows, ...]. Raises: Refused, which names the first wrong row, and the key."""
    try:
        return array_of(values, dtype)
    except Refused as error:
        whole = error
    shape: tuple[int, ...] | None = None
    for place, value in enumerate(values):
        shape = _row(value, dtype, shape, f"Failed to process element: {place}{key}")
    raise whole  # each row is right by itself: together they are a level too deep


def _row(value: Any, dtype: str, expected: tuple[int, ...] | None, where: str) -> tuple[int, ...]:
    """The shape of one row. Raises: Refused where it is no array, or none of the expected shape."""
    try:
        shape = array_of(value, dtype).shape
        _same(shape, shape if expected is None else expected)
    except Refused as error:
        found = f"{where} of 'instances' list. Error: {error.message}"
        raise Refused("INVALID_ARGUMENT", found) from error
    return shape


def _same(shape: tuple[int, ...], first: tuple[int, ...]) -> None:
    sizes = [int(np.prod(one)) for one in (first, shape)]
    if sizes[0] != sizes[1]:
        raise Refused("INVALID_ARGUMENT", f"Expecting tensor size: {sizes[0]} but got: {sizes[1]}")
    if shape != first:
        expected, found = ("[" + ",".join(map(str, one)) + "]" for one in (first, shape))
        raise Refused("INVALID_ARGUMENT", f"Expecting shape {expected} but got: {found}")


def array_of(value: Any, dtype: str) -> np.ndarray:
    """A JSON value, scalar or nested list, as an array of that type. Raises: Refused."""
    shape: list[int] = []
    level = [value]
    while level and isinstance(level[0], list):
        if len(shape) == _DEEPEST:
            raise Refused("INVALID_ARGUMENT", f"Encountered list at unexpected level: {_DEEPEST}")
        size = len(level[0])
        _check_lists(level, size, len(shape))
        shape.append(size)
        level = [*chain.from_iterable(level)]
    if list in {*map(type, level)}:
        found = f"Encountered list at unexpected level: {len(shape)} expected < {len(shape)}"
        raise Refused("INVALID_ARGUMENT", found)
    return _leaves(level, dtype).reshape(shape)


def _check_lists(level: list[Any], size: int, depth: int) -> None:
    """Raises: Refused where not all are lists of that size."""
    if {*map(type, level)} != {list}:
        odd = next(one for one in level if not isinstance(one, list))
        raise _invalid(f"{_json(odd)} found at incorrect level: {depth + 1} in the JSON DOM. Expected a list")
    if {*map(len, level)} != {size}:
        odd = next(len(one) for one in level if len(one) != size)
        found = f"Encountered list at unexpected size: {odd} at level: {depth} expected size: {size}"
        raise Refused("INVALID_ARGUMENT", found)


def _leaves(level: list[Any], dtype: str) -> np.ndarray:
    kinds = {*map(type, level)}
    if dtype == "string":
        array = np.empty(len(level), object)
        array[:] = level if kinds <= {str} else [_text(one) for one in level]
        return array
    allowed = {bool} if dtype == "bool" else {int, float} if dtype in _WHOLE else {int}
    if not kinds <= allowed:
        raise _wrong(next(one for one in level if type(one) not in allowed), dtype)
    if dtype == "bool":
        return np.array(level, np.bool_)
    return _decimals(level, dtype) if dtype in _WHOLE else _integers(level, dtype)


def _integers(level: list[int], dtype: str) -> np.ndarray:
    limits = np.iinfo(dtype)
    if level and not (min(level) >= limits.min and max(level) <= limits.max):
        raise _wrong(next(one for one in level if not limits.min <= one <= limits.max), dtype)
    return np.array(level, dtype)


def _decimals(level: list[Any], dtype: str) -> np.ndarray:
    try:
        array = np.array(level, np.float64)
    except OverflowError:
        raise _lossy(max(level, key=abs), dtype) from None
    with np.errstate(over="ignore"):
        found = array.astype(dtype)
    for place in np.flatnonzero(np.abs(array) > _WHOLE[dtype]).tolist():
        if type(level[place]) is int or np.isfinite(array[place]) != np.isfinite(found[place]):
            raise _lossy(level[place], dtype)
    return found


def _text(value: Any) -> str | bytes:
    if isinstance(value, str):
        return value
    if not isinstance(value, dict):
        raise _wrong(value, "string")
    if not _is_base64(value):
        raise _invalid(f"{_json(value)} not formatted correctly for base64 data")
    text = value["b64"].rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise Refused("INVALID_ARGUMENT", "Unable to base64 decode") from None


def _is_base64(value: dict[str, Any]) -> bool:
    return len(value) == 1 and isinstance(value.get("b64"), str)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not _is_base64(value)


def _wrong(value: Any, dtype: str) -> Refused:
    kind = f"Type: {_TYPES[type(value)]} is not of expected type: {_NAMES.get(dtype, dtype)}"
    return _invalid(f"{_json(value)} {kind}")


def _lossy(value: Any, dtype: str) -> Refused:
    target = f"to {_NAMES[dtype]} without loss of precision."
    return Refused("INVALID_ARGUMENT", f"Cannot convert JSON value: {_json(value)} {target}")


def _invalid(said: str) -> Refused:
    return Refused("INVALID_ARGUMENT", f"JSON Value: {said}")


def _json(value: Any) -> str:
    """As much of a value as an error should show."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."

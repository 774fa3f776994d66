"""Arrays to the body of a `:predict` answer, by the rules of TF Serving's REST interface (`json_tensor.cc`)."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic_core import to_json

from serving.tfserving.predict import Refused

_BYTES = "_bytes"  # ends the names of texts that are bytes
_EXACT = 22  # powers of ten that a double holds exactly


def encode(outputs: Mapping[str, np.ndarray], rows: bool) -> bytes:
    """`{"predictions": [...]}` with one value or object a row, or `{"outputs": ...}` as they are.

    A single output goes without its name. Raises: Refused where rows are asked for and outputs have not as many.
    """
    if not outputs:
        raise Refused("INVALID_ARGUMENT", "Cannot convert empty tensor map to JSON")
    if rows:
        _check_rows(outputs)
    values = {name: json_of(array, name) for name, array in outputs.items()}
    if len(values) == 1:
        (value,) = values.values()
    elif rows:
        value = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    else:
        value = values
    return dump({"predictions" if rows else "outputs": value})


def dump(value: Any) -> bytes:
    """JSON, with TF Serving's tokens NaN, Infinity and -Infinity."""
    return to_json(value, inf_nan_mode="constants")


def json_of(array: np.ndarray, name: str = "") -> Any:
    """An array as nested lists, a scalar as itself. Texts are UTF-8, unless the name says that they are bytes."""
    if array.dtype == np.float32:
        return short(array).tolist()
    if array.dtype.kind not in "OUS":
        return array.tolist()
    values = np.empty(array.size, object)
    if name.endswith(_BYTES):
        values[:] = [{"b64": base64.b64encode(_utf8(one)).decode()} for one in array.ravel().tolist()]
    else:
        values[:] = [one if isinstance(one, str) else one.decode(errors="replace") for one in array.ravel().tolist()]
    return values.reshape(array.shape).tolist()


def short(array: np.ndarray) -> np.ndarray:
    """Each float32 as the double that prints as the float32 does: 0.2, and not 0.20000000298023224.

    Six digits where they are enough to tell it from its neighbours, nine where they are not, as TF Serving writes them.
    """
    exact = array.ravel().astype(np.float64)
    found = _rounded(exact, 6)
    with np.errstate(over="ignore"):
        untold = found.astype(np.float32) != exact
    found[untold] = _rounded(exact[untold], 9)
    return found.reshape(array.shape)


def _rounded(values: np.ndarray, digits: int) -> np.ndarray:
    """The double nearest to each value [N] written with so many digits; what is no decimal number stays."""
    plain = np.isfinite(values) & (values != 0)
    places = digits - 1 - np.floor(np.log10(np.abs(values, where=plain, out=np.ones_like(values)))).astype(np.int64)
    # one rounding only: a whole number over a power of ten, both of which a double holds
    simple = plain & (places >= 0) & (places <= _EXACT)
    scale = 10.0 ** np.where(simple, places, 0)
    with np.errstate(invalid="ignore"):
        found = np.where(simple, np.rint(values * scale) / scale, values)
    for place in np.flatnonzero(plain & ~simple).tolist():  # very large or very small
        found[place] = float(f"{values[place]:.{digits}g}")
    return found


def _check_rows(outputs: Mapping[str, np.ndarray]) -> None:
    rows: int | None = None
    for name, array in outputs.items():
        if array.ndim == 0:
            raise Refused("INVALID_ARGUMENT", f"Tensor name: {name} has no shape information ")
        if rows is not None and len(array) != rows:
            found = f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {rows}"
            raise Refused("INVALID_ARGUMENT", found)
        rows = len(array)


def _utf8(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text

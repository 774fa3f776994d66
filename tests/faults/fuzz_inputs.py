"""What is sent to a server that nobody would send."""

from __future__ import annotations

import json
import random

from hypothesis import strategies as st

from tests.bench.untrained import NAME

PREDICT = f"/v1/models/{NAME}:predict"
_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")
_PATHS = (
    "/recommend",
    "/similar",
    "/events",
    PREDICT,
    "/users/u1",
    "/users/%00",
    f"/v1/models/{NAME}/versions/9:predict",
)
_SIGNATURES = ("recommend", "retrieve", "rank", "embed_user", "embed_item", "similar_items", "serving_default", "")
_INPUTS = (
    *("history", "history_time", "time", "k", "exclude", "likes", "relevance", "filter_category", "candidates", "item"),
    *("item_id", "category", "price", "another"),
)
_TYPES = ("application/json", "text/plain", "multipart/form-data", "")
_HEADS = (
    *(b"POST /recommend HTTP/1.1", b"GET / HTTP/1.1", b"BREW /pot HTTP/9.9", b"POST /%00%ff HTTP/1.0"),
    *(b"GET /healthz", b"\x16\x03\x01", b""),
)
_FIELDS = (
    *(b"Host: x", b"Content-Length: 2", b"Content-Length: -1", b"Content-Length: 99999999999"),
    *(b"Transfer-Encoding: chunked", b"\x00: \x01", b"Expect: 100-continue", b"Connection: close", b"Cookie: \xff\xfe"),
)

_numbers = st.one_of(
    st.integers(-3, 60),
    st.sampled_from([2**31 - 1, 2**31, -(2**31) - 1, 2**63 - 1, 2**63, -(2**63) - 1, 10**40, 1e308, 1e-320, -0.0]),
    st.floats(),
)
_texts = st.one_of(st.sampled_from(["u1", "i1", "", "c7", "\x00", "\ud800", "é" * 2000]), st.text(max_size=20))
_values = st.recursive(
    st.one_of(st.none(), st.booleans(), _numbers, _texts, st.just({"b64": "/w=="}), st.just({"b64": "?"})),
    lambda inner: st.one_of(st.lists(inner, max_size=6), st.dictionaries(_texts, inner, max_size=4)),
    max_leaves=12,
)
_row = st.one_of(
    st.fixed_dictionaries({}, optional={name: st.one_of(_values, st.lists(_values, max_size=3)) for name in _INPUTS}),
    _values,
)


_bodies = st.one_of(
    st.binary(max_size=200),
    _values.map(lambda value: _bytes(value)),
    st.integers(1, 3000).map(lambda depth: b"[" * depth + b"]" * depth),
    st.integers(1, 3000).map(lambda depth: b'{"a":' * depth + b"1" + b"}" * depth),
    st.integers(1, 20_000).map(lambda digits: b'{"k": ' + b"9" * digits + b"}"),
    st.sampled_from([b"", b"null", b'{"user": "u1", "user": "u2"}', b'{"k": NaN}', b"\xff\xfe{}", b'{"k": 1e999}']),
)

# method, path, body and its type: whatever there is, at any path
REQUESTS = st.tuples(st.sampled_from(_METHODS), st.sampled_from(_PATHS), _bodies, st.sampled_from(_TYPES))


def _predict(signature: str, rows: list[object], columns: bool) -> tuple[str, str, bytes, str]:
    said = {"inputs": rows[0]} if columns and rows else {"instances": rows}
    return "POST", PREDICT, _bytes({"signature_name": signature, **said}), _TYPES[0]


# the same, as TF Serving's interface has it, or nearly
PREDICTIONS = st.builds(_predict, st.sampled_from(_SIGNATURES), st.lists(_row, max_size=3), st.booleans())


def raw(rng: random.Random) -> bytes:
    """Bytes that are hardly HTTP."""
    fields = [*_FIELDS, b"X: " + b"y" * rng.randrange(70_000)]
    chosen = rng.sample(fields, rng.randrange(len(fields)))
    end = rng.choice([b"{}", b"", b"zz\r\n{}", rng.randbytes(100)])
    return b"\r\n".join([rng.choice(_HEADS), *chosen, b"", end])


def _bytes(value: object) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")

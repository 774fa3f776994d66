"""Arrays from JSON and to JSON: the rules one by one, and there and back."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from serving.tfserving.decode import array_of, decode
from serving.tfserving.encode import dump, encode, json_of, short
from serving.tfserving.predict import Refused

SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
NUMBERS = st.sampled_from(["float32", "float64", "int32", "int64", "uint8", "bool"])


def signatures(**dtypes: str):
    inputs = {name: {"tensor": f"{name}:0", "dtype": dtype, "shape": None} for name, dtype in dtypes.items()}
    return {"serving_default": {"inputs": inputs, "outputs": {}}}


def refusal(body, **dtypes: str) -> str:
    with pytest.raises(Refused) as found:
        decode(body if isinstance(body, bytes) else json.dumps(body).encode(), signatures(**dtypes))
    assert found.value.code == "INVALID_ARGUMENT"
    return found.value.message


def rectangular(array: np.ndarray) -> bool:
    """Whether nested lists tell the shape: behind a dimension of nothing they tell no more."""
    return 0 not in array.shape[:-1]


@given(NUMBERS.flatmap(lambda dtype: arrays.arrays(dtype, SHAPES.filter(lambda shape: 0 not in shape[:-1]))))
def test_numbers_there_and_back(array):
    body = dump({"inputs": {"x": json_of(array)}})
    found = decode(body, signatures(x=array.dtype.name)).inputs["x"]
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(found, array)


@given(arrays.arrays(object, SHAPES.filter(lambda shape: 0 not in shape[:-1]), elements=st.binary(max_size=9)))
def test_bytes_there_and_back(array):
    body = dump({"inputs": {"x": json_of(array, "x_bytes")}})
    found = decode(body, signatures(x="string")).inputs["x"]
    assert found.shape == array.shape
    assert found.ravel().tolist() == array.ravel().tolist()


@given(st.lists(st.text(st.characters(codec="utf-8")), max_size=5))
def test_texts_there_and_back(texts):
    array = np.array([text.encode() for text in texts], object)
    found = decode(dump({"inputs": json_of(array, "x")}), signatures(x="string")).inputs["x"]
    assert found.tolist() == texts


@given(st.floats(width=32))
def test_a_float32_is_written_short_and_is_still_the_same(value):
    written = float(short(np.array([value], np.float32))[0])
    assert np.float32(written) == np.float32(value) or math.isnan(value)
    six = float(f"{np.float32(value):.6g}")
    if np.float32(six) == np.float32(value):
        assert written == six


def test_decimals_are_written_as_tf_serving_writes_them():
    """The values of `json_tensor_test.cc`; 9000000.0 stands for its 9e+06."""
    values = np.array([[9000000, 999999, 0.5], [0.0003, 0.00003, 555557.5]], np.float32)
    written = json.loads(encode({"y": values}, rows=True))
    assert written == {"predictions": [[9e06, 999999.0, 0.5], [0.0003, 3e-05, 555557.5]]}
    odd = np.array([[np.nan, np.inf], [3, -np.inf]], np.float32)
    assert encode({"y": odd}, rows=True) == b'{"predictions":[[NaN,Infinity],[3.0,-Infinity]]}'
    assert encode({"y": np.array([0.2, 1 / 3, 16777215], np.float32)}, rows=False) == (
        b'{"outputs":[0.2,0.333333343,16777215.0]}'
    )


def test_the_largest_float32_is_read_as_it_is_written():
    """In nine digits it is a little larger than itself."""
    largest = np.finfo(np.float32).max
    body = dump({"inputs": json_of(np.array([largest, -largest]))})
    assert body == b'{"inputs":[3.40282347e+38,-3.40282347e+38]}'
    assert decode(body, signatures(x="float32")).inputs["x"].tolist() == [largest, -largest]


def test_rows_become_columns():
    rows = [
        {"int_tensor": [[1, 2], [3, 4], [5, 6]], "str_tensor": ["foo", "bar"], "float_tensor": [1.0, math.nan]},
        {"int_tensor": [[7, 8], [9, 0], [1, 2]], "str_tensor": ["baz", "bat"], "float_tensor": [2.0, math.inf]},
    ]
    table = signatures(int_tensor="int32", str_tensor="string", float_tensor="float32")
    found = decode(json.dumps({"instances": rows}).encode(), table)
    assert found.rows
    assert found.inputs["int_tensor"].tolist() == [row["int_tensor"] for row in rows]
    assert found.inputs["str_tensor"].tolist() == [row["str_tensor"] for row in rows]
    np.testing.assert_array_equal(found.inputs["float_tensor"], np.array([[1, np.nan], [2, np.inf]], np.float32))


def test_a_single_input_needs_no_name():
    for body in ({"instances": [[1, 2], [3, 4]]}, {"inputs": [[1, 2], [3, 4]]}, {"inputs": {"x": [[1, 2], [3, 4]]}}):
        found = decode(json.dumps(body).encode(), signatures(x="int32")).inputs["x"]
        assert found.tolist() == [[1, 2], [3, 4]]
    scalars = decode(b'{"instances": [{"b64": "aGVsbG8="}, {"b64": "d29ybGQ"}]}', signatures(x="string")).inputs["x"]
    assert scalars.tolist() == [b"hello", b"world"]
    alone = decode(b'{"inputs": {"b64": "aGVsbG8="}}', signatures(x="string")).inputs["x"]
    assert (alone.shape, alone.item()) == ((), b"hello")


def test_lists_without_elements_have_their_shape():
    assert array_of([[], []], "string").shape == (2, 0)
    assert array_of([], "float32").shape == (0,)
    assert array_of([[[], []]], "int64").dtype == np.int64


@pytest.mark.parametrize(
    ("body", "dtype", "error"),
    [  # of `json_tensor_test.cc`
        ({"signature_name": 5, "instances": [[1, 2]]}, "int32", "must be a string value"),
        ({"instances": [[1, 2]], "inputs": [[1, 2]]}, "int32", "Not formatted correctly"),
        ({"instances": [[1, 2], [3, 4], [5, 6, 7]]}, "int32", "Expecting tensor size"),
        ({"instances": [[1, 2], [3, 4], [[5, 6]]]}, "int32", "Expecting shape"),
        ({"instances": [1, [1]]}, "int32", "Expecting shape"),
        ({"instances": [[1, 2], ["a", "b"]]}, "int32", "not of expected type"),
        ({"instances": [1.7976931348623157e308]}, "float32", "loss of precision"),
        ({"instances": [16777217]}, "float32", "loss of precision"),
        ({"instances": [9007199254740993]}, "float64", "loss of precision"),
        ({"instances": [["baz", "bar"], {"x": ["baz"]}]}, "string", "Expecting value/list but got object"),
        ({"instances": [{"x": [1]}, [1]]}, "int32", "Expecting object but got list"),
        # of `json_tensor.cc`
        ({"instances": 5}, "int32", "'instances' to be an list/array"),
        ({"instances": []}, "int32", "No values in 'instances' array"),
        ({}, "int32", "Missing 'inputs' or 'instances' key"),
        ([], "int32", "Is not object"),
        ({"inputs": {}}, "int32", "Missing named input: x in 'inputs' object."),
        ({"inputs": [[1, 2], 3]}, "int32", "found at incorrect level"),
        ({"inputs": [1, [2]]}, "int32", "Encountered list at unexpected level"),
        ({"inputs": [[1, 2], [3]]}, "int32", "Encountered list at unexpected size: 1 at level: 1 expected size: 2"),
        ({"inputs": [True]}, "int32", "not of expected type: int32"),
        ({"inputs": [1]}, "bool", "not of expected type: bool"),
        ({"inputs": [1.0]}, "int64", "not of expected type: int64"),
        ({"inputs": [2**31]}, "int32", "not of expected type: int32"),
        ({"inputs": [256]}, "uint8", "not of expected type: uint8"),
        ({"inputs": [-1]}, "uint8", "not of expected type: uint8"),
        ({"inputs": [2**63]}, "int64", "not of expected type: int64"),
        ({"inputs": [None]}, "string", "Type: Null is not of expected type: string"),
        ({"inputs": [{"b64": "aGVs", "x": 1}]}, "string", "not formatted correctly for base64 data"),
        ({"inputs": [{"b64": "?"}]}, "string", "Unable to base64 decode"),
        ({"inputs": {"x": {"b64": "aGVs"}}}, "int32", "not of expected type"),
        ({"inputs": 10**400}, "float64", "loss of precision"),
    ],
)
def test_what_is_refused(body, dtype, error):
    assert error in refusal(body, x=dtype)


def test_a_refused_row_is_named():
    error = refusal({"instances": [{"x": 1, "y": "a"}, {"x": 2, "y": 3}]}, x="int32", y="string")
    assert error.startswith("Failed to process element: 1 key: y of 'instances' list. Error: ")
    error = refusal({"instances": [{"x": 1, "y": "a"}, {"x": 2}]}, x="int32", y="string")
    assert error.startswith("Failed to process element: 1 of 'instances' list. JSON object: ")
    assert "keys must be equal to: x,y" in error
    assert "plain list" in refusal({"instances": [1, 2]}, x="int32", y="string")
    assert "plain value/list" in refusal({"inputs": [1, 2]}, x="int32", y="string")


def test_a_long_value_is_cut_in_an_error():
    assert len(refusal({"inputs": ["a" * 10_000]}, x="int32")) < 300


def test_deep_lists_are_refused():
    assert "level: 32" in refusal(b'{"inputs": ' + b"[" * 33 + b"]" * 33 + b"}", x="int32")
    assert "JSON Parse error" in refusal(b'{"inputs": ' + b"[" * 100_000, x="int32")


def test_answers_in_rows():
    """The values of `json_tensor_test.cc`."""
    outputs = {
        "double": np.array([8.0, 9.0]),
        "float": np.array([[1.0], [2.0]], np.float32),
        "str": np.array([[b"foo", b"bar"], [b"baz", b"bat"]], object),
        "str_bytes": np.array([[b"hello", b"world"], [b"tf", b"serving"]], object),
    }
    assert json.loads(encode(outputs, rows=True)) == {
        "predictions": [
            {
                "double": 8.0,
                "float": [1.0],
                "str": ["foo", "bar"],
                "str_bytes": [{"b64": "aGVsbG8="}, {"b64": "d29ybGQ="}],
            },
            {
                "double": 9.0,
                "float": [2.0],
                "str": ["baz", "bat"],
                "str_bytes": [{"b64": "dGY="}, {"b64": "c2VydmluZw=="}],
            },
        ]
    }


def test_answers_without_rows():
    assert encode({"y": np.zeros([0, 2], np.int32)}, rows=True) == b'{"predictions":[]}'
    assert encode({"x": np.zeros([0, 1]), "y": np.zeros([0, 3])}, rows=True) == b'{"predictions":[]}'
    for outputs, error in [
        ({}, "empty tensor map"),
        ({"x": np.int32(1)}, "no shape information"),
        ({"x": np.zeros(2), "y": np.zeros(3)}, "inconsistent batch size: 3 expecting: 2"),
    ]:
        with pytest.raises(Refused, match=error):
            encode({name: np.asarray(value) for name, value in outputs.items()}, rows=True)


def test_text_that_is_no_utf8_is_told_with_marks():
    assert json.loads(encode({"y": np.array([b"a\xff"], object)}, rows=False)) == {"outputs": ["a\ufffd"]}

"""Arrays as TensorProto, held against TensorFlow's own reading and writing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from serving.tfserving.messages import TensorProto
from serving.tfserving.predict import Refused
from serving.tfserving.tensors import array_of, proto_of
from towers.backend import tf

SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
KINDS = st.sampled_from(["float32", "float64", "int32", "int64", "uint8", "bool"])
ARRAYS = st.one_of(
    KINDS.flatmap(lambda dtype: arrays.arrays(dtype, SHAPES)),
    arrays.arrays(object, SHAPES, elements=st.binary(max_size=9)),
)


def same(found: np.ndarray, expected: np.ndarray) -> None:
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(found, expected)


@given(ARRAYS)
def test_tensorflow_reads_what_is_written(array):
    theirs = read_by_tensorflow(proto_of(array).SerializeToString())
    same(theirs, array)


def read_by_tensorflow(wire: bytes) -> np.ndarray:
    from tensorflow.core.framework import tensor_pb2

    return tf.make_ndarray(tensor_pb2.TensorProto.FromString(wire))


@given(ARRAYS)
def test_what_tensorflow_writes_is_read(array):
    wire = tf.make_tensor_proto(array, dtype=tf.string if array.dtype == object else None).SerializeToString()
    same(array_of("x", TensorProto.FromString(wire)), array)


@given(ARRAYS)
def test_there_and_back(array):
    same(array_of("x", TensorProto.FromString(proto_of(array).SerializeToString())), array)


def shaped(*sizes: int, **fields) -> TensorProto:
    proto = TensorProto(**fields)
    for size in sizes:
        proto.tensor_shape.dim.add(size=size)
    return proto


def test_a_short_list_goes_on_with_its_last_element():
    assert array_of("x", shaped(2, 2, dtype=1, float_val=[1, 2])).tolist() == [[1, 2], [2, 2]]
    assert array_of("x", shaped(3, dtype=3)).tolist() == [0, 0, 0]
    assert array_of("x", shaped(2, dtype=7)).tolist() == [b"", b""]
    assert array_of("x", shaped(2, dtype=10, bool_val=[True])).tolist() == [True, True]
    assert array_of("x", shaped(2**40, 0, dtype=1)).shape == (2**40, 0)


@pytest.mark.parametrize(
    ("proto", "error"),
    [
        (shaped(1, dtype=19), "found data type number 19, expected one of"),
        (shaped(1), "found data type number 0"),
        (shaped(1, dtype=1, float_val=[1, 2]), "found 2 elements, expected at most 1 of the shape [1]"),
        (shaped(2, dtype=1, tensor_content=b"1234"), "found 4 bytes of content, expected [2] of float32"),
        (shaped(-1, dtype=1), "found the shape [-1], expected up to 32 sizes of 0 or more"),
        (shaped(2**50, 2**50, 0, dtype=1), "expected up to 32 sizes"),
        (shaped(2**30, dtype=1, float_val=[1]), "found 1 elements for the shape [1073741824], expected all of them"),
        (shaped(*[1] * 40, dtype=1), "expected up to 32 sizes"),
        (shaped(1, dtype=4, int_val=[256]), "found an element that is no uint8"),
    ],
)
def test_what_is_refused(proto, error):
    with pytest.raises(Refused) as found:
        array_of("x", proto)
    assert found.value.message.startswith("input 'x': ")
    assert error in found.value.message


def test_any_rank_is_no_shape():
    proto = TensorProto(dtype=1)
    proto.tensor_shape.unknown_rank = True
    with pytest.raises(Refused, match="a shape of any rank"):
        array_of("x", proto)

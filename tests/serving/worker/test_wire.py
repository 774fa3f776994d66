"""Calls and answers as bytes: what goes in comes out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from serving.worker.wire import SIZES, pack, unpack

NUMBERS = ["float32", "float64", "int32", "int64", "uint8", "bool"]
SHAPES = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
NUMERIC = st.sampled_from(NUMBERS).flatmap(lambda dtype: arrays.arrays(dtype, SHAPES))
TEXTS = arrays.arrays(object, SHAPES, elements=st.one_of(st.text(), st.binary()))


def sent(head, values):
    frame = pack(head, values)
    first, second = SIZES.unpack_from(frame)
    assert len(frame) == SIZES.size + first + second
    return unpack(frame[SIZES.size : SIZES.size + first], frame[SIZES.size + first :])


def as_bytes(values):
    flat = [one.encode() if isinstance(one, str) else one for one in values.ravel().tolist()]
    found = np.empty(len(flat), object)
    found[:] = flat
    return found.reshape(values.shape)


@given(st.dictionaries(st.text(max_size=5), st.one_of(NUMERIC, TEXTS), max_size=4), st.text())
def test_what_goes_in_comes_out(values, said):
    head, found = sent({"said": said}, values)
    assert head == {"said": said}
    assert list(found) == list(values)
    for name, value in values.items():
        expected = as_bytes(value) if value.dtype == object else value
        assert found[name].dtype == expected.dtype
        np.testing.assert_array_equal(found[name], expected)


def test_arrays_of_any_layout():
    table = np.arange(12, dtype=np.int32).reshape(3, 4)
    values = {
        "foreign": table.astype(">i4"),
        "turned": table.T,
        "every other": table[:, ::2],
        "wide": np.array(["a", "\u00fc\0"]),
        "list": [1.5, 2.5],
    }
    _, found = sent({}, values)
    np.testing.assert_array_equal(found["foreign"], table)
    np.testing.assert_array_equal(found["turned"], table.T)
    np.testing.assert_array_equal(found["every other"], table[:, ::2])
    assert found["wide"].tolist() == [b"a", "\u00fc".encode()]  # numpy itself drops zeros at the end
    assert found["list"].dtype == np.float64


@pytest.mark.parametrize("value", [np.array([None], object), np.array(["\ud800"], object), np.array([1j])])
def test_what_no_graph_takes_is_refused(value):
    with pytest.raises(ValueError, match=r"^x: found .*, expected"):
        pack({}, {"x": value})

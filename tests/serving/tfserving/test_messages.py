"""Messages of a pool of their own: as published, as compiled, and beside TensorFlow's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from serving.tfserving import messages

PROTOS = Path(messages.__file__).with_name("protos")


def test_what_is_compiled_is_what_is_written(tmp_path):
    """`make protos` after a change."""
    compiled = tmp_path / "protos.binpb"
    files = sorted(map(str, PROTOS.glob("*.proto")))
    arguments = [f"-I{PROTOS}", "--include_imports", f"--descriptor_set_out={compiled}", *files]
    # a process of its own: where TensorFlow is loaded the compiler crashes
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *arguments], check=True)

    def read(path: Path) -> dict:
        found = descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes()).file
        return {one.name: one for one in found if not one.name.startswith("google/")}

    assert read(PROTOS / "protos.binpb") == read(compiled)


@pytest.mark.parametrize("name", ["TensorProto", "TensorShapeProto", "TensorInfo", "SignatureDef"])
def test_fields_are_tensorflows(name):
    from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2
    from tensorflow.core.protobuf import meta_graph_pb2

    theirs = next(getattr(m, name) for m in (tensor_pb2, tensor_shape_pb2, meta_graph_pb2) if hasattr(m, name))
    for field in messages.message(f"tensorflow.{name}").DESCRIPTOR.fields:
        other = theirs.DESCRIPTOR.fields_by_name[field.name]
        assert (field.number, field.type, field.is_repeated) == (other.number, other.type, other.is_repeated)
        assert getattr(field.message_type, "full_name", None) == getattr(other.message_type, "full_name", None)


def test_numbers_are_tensorflows():
    from tensorflow.core.framework import types_pb2
    from tensorflow.core.protobuf import error_codes_pb2

    kinds = messages.TensorProto.DESCRIPTOR.fields_by_name["dtype"].enum_type.values
    assert all(types_pb2.DataType.Value(kind.name) == kind.number for kind in kinds)
    status = messages.message("tensorflow.serving.StatusProto").DESCRIPTOR
    codes = status.fields_by_name["error_code"].enum_type.values
    assert all(error_codes_pb2.Code.Value(code.name) == code.number for code in codes)


@pytest.mark.parametrize(
    "imports",
    [
        "import serving.tfserving.grpc; from tensorflow.core.framework import tensor_pb2",
        "from tensorflow.core.framework import tensor_pb2; import serving.tfserving.grpc",
    ],
)
def test_both_may_be_imported(imports):
    """And each reads what the other wrote."""
    check = """
from serving.tfserving.messages import TensorProto
ours = TensorProto(dtype=1, float_val=[1.5])
ours.tensor_shape.dim.add(size=1)
theirs = tensor_pb2.TensorProto.FromString(ours.SerializeToString())
assert theirs.float_val[0] == 1.5 and type(theirs) is not TensorProto
assert TensorProto.FromString(theirs.SerializeToString()) == ours
"""
    subprocess.run([sys.executable, "-c", imports + "\n" + check], check=True)


def test_nothing_here_imports_tensorflow():
    modules = ["rest", "grpc", "decode", "encode", "metadata", "messages", "tensors", "models", "predict"]
    names = [*(f"serving.tfserving.{name}" for name in modules), "serving.client"]
    check = f"import sys, {', '.join(names)}; assert not [m for m in sys.modules if m.startswith('tensorflow')]"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_rest_needs_no_grpc():
    """The extra is one."""
    check = "import sys; sys.modules['grpc'] = None; import serving.tfserving.rest, serving.client"
    subprocess.run([sys.executable, "-c", check], check=True)

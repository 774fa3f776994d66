"""Read what a SavedModel needs of the TensorFlow that loads it, without importing TensorFlow.

TensorBoard ships TensorFlow's protocol buffers by themselves, all but the outermost message.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory
from tensorboard.compat.proto import meta_graph_pb2

from serving.manifest import BundleError

_SERVE = "serve"


def required(folder: Path) -> tuple[frozenset[str], str]:
    """The operations that a SavedModel's graph can come to run, and the version of TensorFlow that wrote it.

    The list in `meta_info_def.stripped_op_list` will not do: TensorFlow 2.20 fills it from the graph and from what is
    called directly, and leaves out the branches and bodies of If, Case and While. Here every function that a node
    names is followed. Functions that none names are left out, as the loader does not look into them.
    Raises: BundleError.
    """
    path = folder / "saved_model.pb"
    try:
        model = _saved_model().FromString(path.read_bytes())
    except (OSError, message.DecodeError) as error:
        raise BundleError(f"bundle: {path} cannot be read: {error}") from None
    graphs = [graph for graph in model.meta_graphs if _SERVE in graph.meta_info_def.tags]
    if len(graphs) != 1:
        raise BundleError(f"bundle: {path} holds {len(graphs)} graphs tagged {_SERVE!r}, expected 1")
    return _operations(graphs[0].graph_def), graphs[0].meta_info_def.tensorflow_version


def _operations(graph: Any) -> frozenset[str]:
    functions = {function.signature.name: function for function in graph.library.function}
    operations: set[str] = set()
    reached: set[str] = set()
    nodes = list(graph.node)
    while nodes:
        node = nodes.pop()
        called = {node.op, *_named_functions(node)}
        operations |= {node.op} - functions.keys()
        for name in called & functions.keys() - reached:
            reached.add(name)
            nodes.extend(functions[name].node_def)
    return frozenset(operations)


def _named_functions(node: Any) -> set[str]:
    values = node.attr.values()
    return {value.func.name for value in values} | {one.name for value in values for one in value.list.func}


@functools.cache
def _saved_model() -> Any:
    """The message class of tensorflow/core/protobuf/saved_model.proto."""
    proto = descriptor_pb2.FileDescriptorProto(
        name="twinspire/saved_model.proto",
        package="twinspire",
        syntax="proto3",
        dependency=[meta_graph_pb2.DESCRIPTOR.name],
    )
    field = descriptor_pb2.FieldDescriptorProto
    graphs = proto.message_type.add(name="SavedModel").field.add(
        name="meta_graphs", number=2, label=field.LABEL_REPEATED, type=field.TYPE_MESSAGE
    )
    graphs.type_name = f".{meta_graph_pb2.MetaGraphDef.DESCRIPTOR.full_name}"
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(proto.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("twinspire.SavedModel"))

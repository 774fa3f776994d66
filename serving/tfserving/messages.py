"""The messages and services of `protos/`, for gRPC.

They live in a pool of their own, since TensorFlow registers messages of the same names in protobuf's default pool: one
process may import both. `make protos` compiles them anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_COMPILED = Path(__file__).with_name("protos") / "protos.binpb"


def _read() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(_COMPILED.read_bytes()).file:
        pool.Add(file)
    return pool


_POOL = _read()


def message(name: str) -> Any:
    """The class of a message by its full name: `tensorflow.TensorProto`."""
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(name))


TensorProto = message("tensorflow.TensorProto")
TensorInfo = message("tensorflow.TensorInfo")
SignatureDef = message("tensorflow.SignatureDef")
ModelSpec = message("tensorflow.serving.ModelSpec")
PredictRequest = message("tensorflow.serving.PredictRequest")
PredictResponse = message("tensorflow.serving.PredictResponse")
SignatureDefMap = message("tensorflow.serving.SignatureDefMap")
GetModelMetadataRequest = message("tensorflow.serving.GetModelMetadataRequest")
GetModelMetadataResponse = message("tensorflow.serving.GetModelMetadataResponse")
GetModelStatusRequest = message("tensorflow.serving.GetModelStatusRequest")
GetModelStatusResponse = message("tensorflow.serving.GetModelStatusResponse")
HealthCheckRequest = message("grpc.health.v1.HealthCheckRequest")
HealthCheckResponse = message("grpc.health.v1.HealthCheckResponse")

PREDICTION = "tensorflow.serving.PredictionService"
MODEL = "tensorflow.serving.ModelService"
HEALTH = "grpc.health.v1.Health"


def handlers(service: str, methods: Mapping[str, Callable[..., Any]]) -> grpc.GenericRpcHandler:
    """A service whose methods are these functions of a request and its context."""
    found = {}
    for method in _POOL.FindServiceByName(service).methods:
        make = grpc.unary_stream_rpc_method_handler if method.server_streaming else grpc.unary_unary_rpc_method_handler
        read = message_factory.GetMessageClass(method.input_type).FromString
        found[method.name] = make(methods[method.name], read, _write)
    return grpc.method_handlers_generic_handler(service, found)


def stub(service: str, channel: Any) -> Any:
    """A client of a service: `stub(PREDICTION, channel).Predict(request, timeout=1)`, over any channel of grpc's."""
    calls = {}
    for method in _POOL.FindServiceByName(service).methods:
        make = channel.unary_stream if method.server_streaming else channel.unary_unary
        read = message_factory.GetMessageClass(method.output_type).FromString
        calls[method.name] = make(f"/{service}/{method.name}", request_serializer=_write, response_deserializer=read)
    return SimpleNamespace(**calls)


def _write(sent: Any) -> bytes:
    return sent.SerializeToString()

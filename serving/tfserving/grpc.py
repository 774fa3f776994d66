"""TF Serving's gRPC interface: Predict, GetModelMetadata and GetModelStatus, and gRPC's own health service."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any, Protocol

import grpc

from serving.tensors import DTYPES
from serving.tfserving.messages import (
    HEALTH,
    MODEL,
    PREDICTION,
    GetModelMetadataResponse,
    GetModelStatusResponse,
    HealthCheckResponse,
    PredictResponse,
    SignatureDef,
    SignatureDefMap,
    TensorInfo,
    handlers,
)
from serving.tfserving.metadata import METHOD
from serving.tfserving.models import Models, NotServed
from serving.tfserving.predict import DEFAULT_SIGNATURE, Asked, Refused, find, only_outputs, run, states
from serving.tfserving.tensors import array_of, proto_of

LOOPBACK = "127.0.0.1:8500"  # the port that TF Serving takes
_FIELD = "signature_def"  # the one kind of metadata there is
_TYPE = f"type.googleapis.com/{SignatureDefMap.DESCRIPTOR.full_name}"
_OTHERWISE = 1.0  # seconds between two looks for those who watch the health
_NO_ROOM = grpc.StatusCode.RESOURCE_EXHAUSTED


class Counts(Protocol):
    """What is told of every call but those of health, by its method and the name of its code."""

    def inside(self) -> AbstractContextManager[None]:
        """While a call is answered."""

    def answered(self, route: str, status: str, seconds: float) -> None:
        """It was, or was refused for what it asked."""

    def had_no_room(self, route: str, status: str, seconds: float) -> None:
        """It was refused, as too many others wait."""


async def start(
    models: Models,
    counts: Counts,
    address: str = LOOPBACK,
    seconds: float = 1.0,
    *,
    key: str | None = None,
    calls: int | None = None,
    most: int | None = None,
) -> grpc.aio.Server:
    """A server that listens at the address; `await server.stop(grace)` ends it.

    seconds: after which a prediction is given up; a client's own deadline may come first. key: what clients must send
    as `x-api-key` in their metadata, but for health; calls: that are answered or wait at once, more are refused with
    RESOURCE_EXHAUSTED, but for health; most: of whatever is open at once, such as calls whose message does not come and
    those who watch the health.
    Raises: RuntimeError where it cannot listen there.
    """
    # else a second server at the same port would take half of its calls, and neither would say so
    alone = [("grpc.so_reuseport", 0)]
    gate = _Gate(key, calls, counts)
    server = grpc.aio.server(interceptors=[gate], options=alone, maximum_concurrent_rpcs=most)
    server.add_generic_rpc_handlers((*_prediction(models, seconds), *_health(models)))
    server.add_insecure_port(address)
    await server.start()
    return server


class _Gate(grpc.aio.ServerInterceptor):
    """Lets those in who know the key, no more at once than there is room for, and whoever asks for health."""

    def __init__(self, key: str | None, calls: int | None, counts: Counts) -> None:
        self._key = key.encode() if key else None
        self._calls, self._counts, self._now = calls, counts, 0

    async def intercept_service(self, continuation: Callable[..., Awaitable[Any]], details: Any) -> Any:
        """The handler of a call, or one that refuses it."""
        handler = await continuation(details)
        if handler is None or details.method.startswith(f"/{HEALTH}/"):
            return handler
        answer = handler.unary_unary if self._knows(details) else _without_key
        return grpc.unary_unary_rpc_method_handler(
            self._counted(details.method, answer), handler.request_deserializer, handler.response_serializer
        )

    def _knows(self, details: Any) -> bool:
        given = dict(details.invocation_metadata or ()).get("x-api-key", "")
        given = given if isinstance(given, bytes) else given.encode()
        return self._key is None or hmac.compare_digest(given, self._key)

    def _counted(self, method: str, answer: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def answered(request: Any, context: grpc.aio.ServicerContext) -> Any:
            started = time.perf_counter()
            if self._calls is not None and self._now >= self._calls:
                self._counts.had_no_room(method, _NO_ROOM.name, time.perf_counter() - started)
                await context.abort(_NO_ROOM, "too many calls wait; try again")
            code = "CANCELLED"  # by a client that went away, or whose own deadline passed
            self._now += 1
            try:
                with self._counts.inside():
                    said = await answer(request, context)
                code = "OK"
                return said
            except Exception:
                code = getattr(context.code(), "name", "UNKNOWN")  # what it was aborted with
                raise
            finally:
                self._now -= 1
                self._counts.answered(method, code, time.perf_counter() - started)

        return answered


async def _without_key(request: Any, context: grpc.aio.ServicerContext) -> None:
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, "expected the API key as x-api-key in the metadata")


def _prediction(models: Models, seconds: float) -> list[grpc.GenericRpcHandler]:
    async def predict(request: Any, context: grpc.aio.ServicerContext) -> Any:
        served, spec = find(models, _asked(request)), request.model_spec
        signature, signatures = spec.signature_name or DEFAULT_SIGNATURE, served.manifest["signatures"]
        if signature not in signatures:
            raise Refused("FAILED_PRECONDITION", f'Serving signature key "{signature}" not found.')
        wanted = only_outputs(request.output_filter, signatures[signature])
        inputs = {name: array_of(name, request.inputs[name]) for name in request.inputs}
        left = context.time_remaining()
        outputs = await run(served, signature, inputs, seconds if left is None else min(seconds, left), wanted)
        answer = PredictResponse(outputs={name: proto_of(array) for name, array in outputs.items()})
        answer.model_spec.name, answer.model_spec.signature_name = spec.name, signature
        answer.model_spec.version.value = served.number
        return answer

    async def metadata(request: Any, context: grpc.aio.ServicerContext) -> Any:
        if not request.metadata_field:
            raise Refused("INVALID_ARGUMENT", "GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != _FIELD:
                raise Refused("INVALID_ARGUMENT", f"Metadata field {field} is not supported")
        served = find(models, _asked(request))
        answer = GetModelMetadataResponse()
        answer.model_spec.name, answer.model_spec.version.value = models.name, served.number
        answer.metadata[_FIELD].type_url = _TYPE
        answer.metadata[_FIELD].value = _signatures(served.manifest["signatures"]).SerializeToString()
        return answer

    async def status(request: Any, context: grpc.aio.ServicerContext) -> Any:
        answer = GetModelStatusResponse()
        for one in states(models, _asked(request)):
            told = answer.model_version_status.add(version=one.number, state=one.state)
            told.status.error_code, told.status.error_message = _code(told.status, one.code), one.message
        return answer

    return [
        handlers(PREDICTION, {"Predict": _answers(predict), "GetModelMetadata": _answers(metadata)}),
        handlers(MODEL, {"GetModelStatus": _answers(status)}),
    ]


def _health(models: Models) -> list[grpc.GenericRpcHandler]:
    """The whole server ("") and each of its services can answer as soon as a version can."""

    def told(service: str) -> str:
        if service not in ("", PREDICTION, MODEL):
            return "SERVICE_UNKNOWN"
        try:
            models.find()
        except NotServed:
            return "NOT_SERVING"
        return "SERVING"

    async def check(request: Any, context: grpc.aio.ServicerContext) -> Any:
        status = told(request.service)
        if status == "SERVICE_UNKNOWN":
            raise Refused("NOT_FOUND", f"unknown service: {request.service}")
        return HealthCheckResponse(status=status)

    async def watch(request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        last = None
        while True:  # until the client goes away, which cancels this
            status = told(request.service)
            if status != last:
                yield HealthCheckResponse(status=status)
            last = status
            await asyncio.sleep(_OTHERWISE)

    return [handlers(HEALTH, {"Check": _answers(check), "Watch": watch})]


def _answers(handler: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """A handler whose refusals end the call with their code, which gRPC shares with TensorFlow."""

    @wraps(handler)
    async def answer(request: Any, context: grpc.aio.ServicerContext) -> Any:
        try:
            return await handler(request, context)
        except Refused as refused:
            code = getattr(grpc.StatusCode, refused.code, grpc.StatusCode.UNKNOWN)
            await context.abort(code, refused.message)

    return answer


def _asked(request: Any) -> Asked:
    if not request.HasField("model_spec"):
        raise Refused("INVALID_ARGUMENT", "Missing ModelSpec")
    spec = request.model_spec
    if spec.HasField("version"):
        return Asked(spec.name, number=spec.version.value)
    return Asked(spec.name, label=spec.version_label if spec.HasField("version_label") else None)


def _signatures(table: Mapping[str, Any]) -> Any:
    found = SignatureDefMap()
    for name, described in table.items():
        signature = SignatureDef(method_name=METHOD)
        for kind in ("inputs", "outputs"):
            for tensor, row in described[kind].items():
                getattr(signature, kind)[tensor].CopyFrom(_tensor(row))
        found.signature_def[name].CopyFrom(signature)
    return found


def _tensor(row: Mapping[str, Any]) -> Any:
    info = TensorInfo(name=row["tensor"], dtype=DTYPES[row["dtype"]])
    info.tensor_shape.unknown_rank = row["shape"] is None
    for size in row["shape"] or []:
        info.tensor_shape.dim.add(size=-1 if size is None else size)
    return info


def _code(status: Any, name: str) -> int:
    codes = status.DESCRIPTOR.fields_by_name["error_code"].enum_type.values_by_name
    return codes[name if name in codes else "UNKNOWN"].number

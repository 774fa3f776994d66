"""TF Serving's gRPC interface, by our stubs and by what any other client sends."""

from __future__ import annotations

import asyncio
import os
import signal

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from serving.bundle import load_bundle
from serving.server.metrics import Metrics
from serving.tfserving import messages
from serving.tfserving.grpc import start
from serving.tfserving.messages import (
    MODEL,
    PREDICTION,
    GetModelMetadataRequest,
    GetModelStatusRequest,
    PredictRequest,
    SignatureDefMap,
    stub,
)
from serving.tfserving.tensors import array_of, proto_of
from tests.serving import small
from tests.serving.server.running import serving
from tests.serving.server.test_server import publish
from tests.serving.tfserving.live import LONG, Fixed, free_port


@pytest.fixture(scope="module")
def channel(examples):
    with grpc.insecure_channel(examples.address) as opened:
        yield opened


@pytest.fixture(scope="module")
def prediction(channel):
    return stub(PREDICTION, channel)


def request(signature: str = "", only=(), name: str = "half_plus_three", **inputs: np.ndarray):
    asked = PredictRequest(output_filter=only)
    asked.model_spec.name, asked.model_spec.signature_name = name, signature
    for tensor, array in inputs.items():
        asked.inputs[tensor].CopyFrom(proto_of(np.asarray(array)))
    return asked


X = np.array([1.0, 2.0, 5.0], np.float32)


def refusal(call, asked) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as found:
        call(asked, timeout=LONG)
    return found.value.code().name, found.value.details()


def test_predict(prediction):
    answer = prediction.Predict(request(x=X), timeout=LONG)
    assert [*answer.outputs["y"].float_val] == [4.5, 5.0, 6.5]
    assert [dim.size for dim in answer.outputs["y"].tensor_shape.dim] == [3]
    assert answer.model_spec.name == "half_plus_three"
    assert answer.model_spec.signature_name == "serving_default"
    assert answer.model_spec.version.value == 124


def test_versions_and_labels(prediction):
    asked = request(x=X)
    asked.model_spec.version.value = 123
    assert [*prediction.Predict(asked, timeout=LONG).outputs["y"].float_val] == [3.5, 4.0, 5.5]
    asked.model_spec.version_label = "stable"
    assert not asked.model_spec.HasField("version")
    answer = prediction.Predict(asked, timeout=LONG)
    assert answer.model_spec.version.value == 123
    assert [*answer.outputs["y"].float_val] == [3.5, 4.0, 5.5]


def test_raw_bytes_of_another_client(channel):
    """A request as it lies on the wire, by hand: 1 model_spec {1 name}, 2 inputs {1 key, 2 tensor}."""

    def field(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2, len(content)]) + content

    floats = np.array([1.0, 2.0], "<f4").tobytes()
    tensor = b"\x08\x01" + field(2, field(2, b"\x08\x02")) + field(4, floats)  # dtype, shape [2], content
    wire = field(1, field(1, b"half_plus_three")) + field(2, field(1, b"x") + field(2, tensor))
    call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    answer = messages.PredictResponse.FromString(call(wire, timeout=LONG))
    assert [*answer.outputs["y"].float_val] == [4.5, 5.0]


def test_tensorflows_own_messages(channel):
    """Tensors as a client with TensorFlow makes and reads them."""
    from tensorflow.core.framework import tensor_pb2

    from towers.backend import tf

    asked = request()
    asked.inputs["x"].ParseFromString(tf.make_tensor_proto(X).SerializeToString())
    answer = stub(PREDICTION, channel).Predict(asked, timeout=LONG)
    wire = answer.outputs["y"].SerializeToString()
    assert tf.make_ndarray(tensor_pb2.TensorProto.FromString(wire)).tolist() == [4.5, 5.0, 6.5]


def test_only_the_outputs_that_are_asked_for(examples, prediction):
    three = {
        "tag": np.array(["foo"], object),
        "signal": np.arange(5, dtype=np.int64)[None],
        "sensor": np.zeros((1, 2, 2)),
    }
    answer = prediction.Predict(request("three", ["signal", "tag"], **three), timeout=LONG)
    assert {*answer.outputs} == {"signal", "tag"}
    assert examples.models.versions[124].asked[-1] == ["signal", "tag"]
    assert [*answer.outputs["tag"].string_val] == [b"foo"]
    assert {*prediction.Predict(request("three", **three), timeout=LONG).outputs} == {"tag", "signal", "sensor"}
    assert examples.models.versions[124].asked[-1] is None
    code, said = refusal(prediction.Predict, request("three", ["other"], **three))
    assert code == "INVALID_ARGUMENT"
    assert said.startswith("output tensor alias not found in signature: other Outputs expected to be in the set {")
    code, said = refusal(prediction.Predict, request("three", ["tag", "tag"], **three))
    assert (code, said) == ("INVALID_ARGUMENT", "duplicate output tensor alias: tag")


def test_what_is_refused(prediction):
    unnamed = PredictRequest()
    assert refusal(prediction.Predict, unnamed) == ("INVALID_ARGUMENT", "Missing ModelSpec")
    unknown = "Servable not found for request: Latest(half)"
    assert refusal(prediction.Predict, request(name="half", x=X)) == ("NOT_FOUND", unknown)
    numbered = request(x=X)
    numbered.model_spec.version.value = 9
    unknown = "Servable not found for request: Specific(half_plus_three, 9)"
    assert refusal(prediction.Predict, numbered) == ("NOT_FOUND", unknown)
    numbered.model_spec.version_label = "nope"
    labelled = "Unrecognized servable version label: nope"
    assert refusal(prediction.Predict, numbered) == ("INVALID_ARGUMENT", labelled)
    signature = 'Serving signature key "guess" not found.'
    assert refusal(prediction.Predict, request("guess", x=X)) == ("FAILED_PRECONDITION", signature)
    code, said = refusal(prediction.Predict, request(z=X))
    assert (code, "found inputs ['z'], expected ['x']" in said) == ("INVALID_ARGUMENT", True)
    code, said = refusal(prediction.Predict, request(x=np.array(["a"], object)))
    assert (code, "expected float32" in said) == ("INVALID_ARGUMENT", True)
    code, said = refusal(prediction.Predict, request("picky", x=np.array([7], np.int32)))
    assert (code, "is not in [0, 3)" in said) == ("INVALID_ARGUMENT", True)


def test_other_methods_are_not_there(channel):
    call = channel.unary_unary("/tensorflow.serving.PredictionService/Classify")
    assert refusal(call, b"")[0] == "UNIMPLEMENTED"


def test_metadata(examples, prediction):
    asked = GetModelMetadataRequest(metadata_field=["signature_def"])
    asked.model_spec.name = "half_plus_three"
    answer = prediction.GetModelMetadata(asked, timeout=LONG)
    assert answer.model_spec.version.value == 124
    packed = answer.metadata["signature_def"]
    assert packed.type_url == "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    found = SignatureDefMap.FromString(packed.value).signature_def
    table = examples.models.versions[124].manifest["signatures"]
    assert {*found} == {*table}
    assert found["serving_default"].method_name == "tensorflow/serving/predict"
    x = found["serving_default"].inputs["x"]
    assert (x.name, x.dtype, [dim.size for dim in x.tensor_shape.dim]) == (
        table["serving_default"]["inputs"]["x"]["tensor"],
        1,
        [-1],
    )
    assert found["any"].inputs["x"].tensor_shape.unknown_rank
    assert not found["any"].outputs["size"].tensor_shape.unknown_rank
    del asked.metadata_field[:]
    assert refusal(prediction.GetModelMetadata, asked)[0] == "INVALID_ARGUMENT"
    asked.metadata_field.append("other")
    assert refusal(prediction.GetModelMetadata, asked) == (
        "INVALID_ARGUMENT",
        "Metadata field other is not supported",
    )


def test_metadata_is_tensorflows(channel):
    """Their reader of the packed signatures finds what ours does."""
    from tensorflow.core.protobuf import meta_graph_pb2

    asked = GetModelMetadataRequest(metadata_field=["signature_def"])
    asked.model_spec.name = "half_plus_three"
    packed = stub(PREDICTION, channel).GetModelMetadata(asked, timeout=LONG).metadata["signature_def"].value
    one = SignatureDefMap.FromString(packed).signature_def["three"]
    theirs = meta_graph_pb2.SignatureDef.FromString(one.SerializeToString())
    assert {name: info.dtype for name, info in theirs.inputs.items()} == {"tag": 7, "signal": 9, "sensor": 2}


def test_status(channel):
    asked = GetModelStatusRequest()
    asked.model_spec.name = "half_plus_three"
    model = stub(MODEL, channel)
    found = model.GetModelStatus(asked, timeout=LONG).model_version_status
    assert [(one.version, one.state, one.status.error_code, one.status.error_message) for one in found] == [
        (124, 30, 0, ""),
        (123, 30, 0, ""),
    ]
    asked.model_spec.version.value = 123
    assert [one.version for one in model.GetModelStatus(asked, timeout=LONG).model_version_status] == [123]
    asked.model_spec.version.value = 9
    said = "Could not find version 9 of model half_plus_three"
    assert refusal(model.GetModelStatus, asked) == ("NOT_FOUND", said)


def test_a_real_bundle(live_bundle, exact_bundle):
    inputs = small.inputs_of([["i20", "i21"], ["日本", "it's"]], k=5)
    expected = load_bundle(exact_bundle).run("recommend", inputs)
    with grpc.insecure_channel(live_bundle.address) as channel:
        answer = stub(PREDICTION, channel).Predict(request("recommend", name="small", **inputs), timeout=LONG)
    assert {*answer.outputs} == {*expected}
    for name, value in expected.items():
        found = array_of(name, answer.outputs[name])
        assert (found.dtype, found.shape) == (value.dtype, value.shape)
        np.testing.assert_array_equal(found, value)


def test_a_deadline_passes(examples, channel):
    """The client's own, or the server's where that is sooner."""
    worker = examples.models.versions[123].worker
    asked = request(x=X)
    asked.model_spec.version.value = 123

    async def story() -> list[str]:
        address, codes = f"127.0.0.1:{free_port()}", []
        server = await start(examples.models, Metrics(), address, 0.2)
        async with (
            grpc.aio.insecure_channel(address) as impatient,
            grpc.aio.insecure_channel(examples.address) as other,
        ):
            for to, timeout in ((impatient, LONG), (other, 0.2)):
                with pytest.raises(grpc.RpcError) as found:
                    await stub(PREDICTION, to).Predict(asked, timeout=timeout)
                codes.append(found.value.code().name)
        await server.stop(0)
        return codes

    os.kill(worker.pid, signal.SIGSTOP)
    try:
        assert examples.within(story) == ["DEADLINE_EXCEEDED"] * 2
    finally:
        os.kill(worker.pid, signal.SIGCONT)
    assert [*stub(PREDICTION, channel).Predict(asked, timeout=LONG).outputs["y"].float_val] == [3.5, 4.0, 5.5]


def test_health_as_grpcs_own_client_asks_for_it(channel):
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", PREDICTION, MODEL):
        answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=LONG)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    assert refusal(health.Check, health_pb2.HealthCheckRequest(service="other"))[0] == "NOT_FOUND"


def test_health_follows_the_model():
    """A model that no version answers for yet, and then one does."""

    async def story() -> list[int]:
        models, address = Fixed("late", [], {}), f"127.0.0.1:{free_port()}"
        server = await start(models, Metrics(), address, 1.0)
        try:
            async with grpc.aio.insecure_channel(address) as channel:
                watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
                seen = [(await watch.read()).status]
                models.versions[1] = None
                seen.append((await watch.read()).status)
                watch.cancel()
                return seen
        finally:
            await server.stop(0)

    kinds = health_pb2.HealthCheckResponse
    assert asyncio.run(story()) == [kinds.NOT_SERVING, kinds.SERVING]


def test_two_servers_do_not_share_a_port():
    async def story() -> None:
        address = f"127.0.0.1:{free_port()}"
        server = await start(Fixed("one", [], {}), Metrics(), address, 1.0)
        try:
            with pytest.raises(RuntimeError):
                await start(Fixed("two", [], {}), Metrics(), address, 1.0)
        finally:
            await server.stop(0)

    asyncio.run(story())


def test_the_key_is_asked_for_but_not_for_health(examples):
    async def story() -> list[str]:
        address, found = f"127.0.0.1:{free_port()}", []
        server = await start(examples.models, Metrics(), address, LONG, key="correct-horse")
        async with grpc.aio.insecure_channel(address) as channel:
            predict = stub(PREDICTION, channel).Predict
            for metadata in ((), (("x-api-key", "wrong"),), (("x-api-key", "correct-horse"),)):
                call = predict(request(x=X), timeout=LONG, metadata=metadata)
                found += [await _code(call)]
            health = health_pb2_grpc.HealthStub(channel)
            await health.Check(health_pb2.HealthCheckRequest(), timeout=LONG)
        await server.stop(0)
        return found

    assert examples.within(story) == ["UNAUTHENTICATED", "UNAUTHENTICATED", "OK"]


def test_more_calls_than_may_be_are_refused_but_health_is_told(examples):
    worker = examples.models.versions[123].worker
    asked = request(x=X)
    asked.model_spec.version.value = 123
    metrics = Metrics()

    async def story() -> list[str]:
        address = f"127.0.0.1:{free_port()}"
        server = await start(examples.models, metrics, address, LONG, calls=2)
        async with grpc.aio.insecure_channel(address) as channel:
            predict, health = stub(PREDICTION, channel).Predict, health_pb2_grpc.HealthStub(channel)
            watches = [health.Watch(health_pb2.HealthCheckRequest()) for _ in range(3)]
            for watch in watches:
                assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
            waiting = [asyncio.ensure_future(_code(predict(asked, timeout=LONG))) for _ in range(6)]
            refused, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            while len(refused) < 4:
                refused, _ = await asyncio.wait(waiting, timeout=0.01)
            assert value(metrics, "twinspire_in_flight") == 2
            answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=LONG)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
            os.kill(worker.pid, signal.SIGCONT)
            codes = sorted(await asyncio.gather(*waiting))
        await server.stop(0)
        assert {one.result() for one in refused} == {"RESOURCE_EXHAUSTED"}
        return codes

    os.kill(worker.pid, signal.SIGSTOP)
    try:
        assert examples.within(story) == ["OK"] * 2 + ["RESOURCE_EXHAUSTED"] * 4
    finally:
        os.kill(worker.pid, signal.SIGCONT)
    counted = {status: value(metrics, *REQUESTS, status=status) for status in ("OK", "RESOURCE_EXHAUSTED")}
    assert counted == {"OK": 2, "RESOURCE_EXHAUSTED": 4}
    assert (value(metrics, "twinspire_shed_total"), value(metrics, "twinspire_in_flight")) == (4, 0)


def test_a_server_has_as_much_room_for_calls_as_for_requests_by_http(exact_bundle, tmp_path):
    publish(exact_bundle, tmp_path / "small", 1)
    port = free_port()
    room = ("limits.queue=1", "runtime.calls=1", "runtime.batch.size=2", "limits.deadline=30", f"grpc_port={port}")
    inputs = load_bundle(exact_bundle).inputs
    asked = request("similar_items", name="small", **inputs.item("i20"), **inputs.limits(3, (), {}))
    with serving(tmp_path / "small", tmp_path / "state", *room) as running:
        worker = running.worker()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            os.kill(worker, signal.SIGSTOP)
            try:
                calls = [stub(PREDICTION, channel).Predict.future(asked, timeout=LONG) for _ in range(6)]
                running.until(lambda: sum(call.done() for call in calls) >= 3, "three refusals")
                assert running.metric("twinspire_in_flight") == 3
            finally:
                os.kill(worker, signal.SIGCONT)
            codes = sorted(call.code().name for call in calls)
    assert codes == ["OK"] * 3 + ["RESOURCE_EXHAUSTED"] * 3


REQUESTS = "twinspire_requests_total", f"/{PREDICTION}/Predict"


def value(metrics: Metrics, name: str, route: str | None = None, **labels: str) -> float:
    """Of what was counted; 0 before it first was."""
    return metrics.registry.get_sample_value(name, labels | ({"route": route} if route else {})) or 0.0


def test_calls_are_counted_by_method_and_code_and_timed_but_those_of_health_are_not(examples):
    worker, metrics = examples.models.versions[123].worker, Metrics()
    slow = request(x=X)
    slow.model_spec.version.value = 123

    async def story() -> None:
        address = f"127.0.0.1:{free_port()}"
        server = await start(examples.models, metrics, address, LONG, key="correct-horse")
        async with grpc.aio.insecure_channel(address) as channel:
            predict, key = stub(PREDICTION, channel).Predict, (("x-api-key", "correct-horse"),)
            for asked, metadata in ((request(x=X), key), (request(x=X), ()), (request(z=X), key)):
                await _code(predict(asked, timeout=LONG, metadata=metadata))
            while value(metrics, "twinspire_in_flight"):  # a refusal is here before its call has ended
                await asyncio.sleep(0.01)
            os.kill(worker.pid, signal.SIGSTOP)
            try:
                call = predict(slow, timeout=LONG, metadata=key)
                while not value(metrics, "twinspire_in_flight"):
                    await asyncio.sleep(0.01)
                call.cancel()
                while not value(metrics, *REQUESTS, status="CANCELLED"):
                    await asyncio.sleep(0.01)
            finally:
                os.kill(worker.pid, signal.SIGCONT)
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=LONG)
        await server.stop(0)

    examples.within(story)
    codes = ("OK", "UNAUTHENTICATED", "INVALID_ARGUMENT", "CANCELLED")
    assert [value(metrics, *REQUESTS, status=code) for code in codes] == [1, 1, 1, 1]
    assert value(metrics, "twinspire_request_seconds_count", f"/{PREDICTION}/Predict") == 4
    assert "Health" not in metrics.exposition().decode()


async def _code(call) -> str:
    try:
        await call
    except grpc.RpcError as error:
        return error.code().name
    return "OK"

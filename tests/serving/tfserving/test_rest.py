"""TF Serving's REST interface over HTTP, held against its documentation.

Bodies under "documented" are those of `api_rest.md`, of version 123 of `half_plus_three`; error texts are those of its
sources.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import time

import httpx
import numpy as np
import pytest
from fastapi import FastAPI

from serving.bundle import load_bundle
from serving.tfserving.rest import router
from tests.serving import small
from tests.serving.tfserving.live import LONG, Live

MODEL = "/v1/models/half_plus_three"
PINNED = f"{MODEL}/versions/123"

THREE_ROWS = [
    {"tag": "foo", "signal": [1, 2, 3, 4, 5], "sensor": [[1, 2], [3, 4]]},
    {"tag": "bar", "signal": [3, 4, 1, 2, 5], "sensor": [[4, 5], [6, 8]]},
]
THREE_COLUMNS = {
    "tag": ["foo", "bar"],
    "signal": [[1, 2, 3, 4, 5], [3, 4, 1, 2, 5]],
    "sensor": [[[1, 2], [3, 4]], [[4, 5], [6, 8]]],
}


def post(live: Live, path: str, body, code: int = 200):
    answer = live.http("POST", f"{path}:predict", body)
    assert answer.status_code == code, answer.text
    assert answer.headers["content-type"] == "application/json"
    return json.loads(answer.content)


def get(live: Live, path: str, code: int = 200):
    answer = live.http("GET", path)
    assert answer.status_code == code, answer.text
    assert answer.headers["content-type"] == "application/json"
    return json.loads(answer.content)


def test_documented_predict(examples):
    assert post(examples, PINNED, '{"instances": [1.0,2.0,5.0]}') == {"predictions": [3.5, 4.0, 5.5]}


def test_documented_unknown_model(examples):
    found = post(examples, "/v1/models/half", '{"instances": [1.0,5.0]}', 404)
    assert found == {"error": "Servable not found for request: Latest(half)"}


def test_documented_status(examples):
    assert get(examples, PINNED) == {
        "model_version_status": [
            {"version": "123", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        ]
    }


def test_documented_rows_and_columns(examples):
    rows = post(examples, MODEL, {"signature_name": "three", "instances": THREE_ROWS})
    columns = post(examples, MODEL, {"signature_name": "three", "inputs": THREE_COLUMNS})
    assert rows == {"predictions": THREE_ROWS}
    assert columns == {"outputs": THREE_COLUMNS}


def test_documented_bytes(examples):
    """An input may be base64, an output is where its name ends in `_bytes`."""
    rows = [
        {"image": {"b64": "aW1hZ2UgYnl0ZXM="}, "caption": "seaside"},
        {"image": {"b64": "YXdlc29tZSBpbWFnZSBieXRlcw=="}, "caption": "mountains"},
    ]
    assert post(examples, MODEL, {"signature_name": "images", "instances": rows})["predictions"] == [
        {"image_bytes": row["image"], "caption": row["caption"]} for row in rows
    ]
    odd = base64.b64encode(bytes(range(256))).decode()
    found = post(
        examples, MODEL, {"signature_name": "images", "inputs": {"image": [{"b64": odd}], "caption": ["日本"]}}
    )
    assert found == {"outputs": {"image_bytes": [{"b64": odd}], "caption": ["日本"]}}


def test_documented_tokens_that_are_no_json(examples):
    answer = examples.http("POST", f"{PINNED}:predict", '{"instances": [1.0, NaN, Infinity, -Infinity]}')
    assert answer.text == '{"predictions":[3.5,NaN,Infinity,-Infinity]}'


def test_documented_metadata(examples):
    found = get(examples, f"{PINNED}/metadata")
    assert found["model_spec"] == {"name": "half_plus_three", "signature_name": "", "version": "123"}
    signatures = found["metadata"]["signature_def"]["signature_def"]
    table = examples.models.versions[123].manifest["signatures"]
    assert signatures["serving_default"] == {
        "inputs": {
            "x": {
                "dtype": "DT_FLOAT",
                "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False},
                "name": table["serving_default"]["inputs"]["x"]["tensor"],
            }
        },
        "outputs": {
            "y": {
                "dtype": "DT_FLOAT",
                "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False},
                "name": table["serving_default"]["outputs"]["y"]["tensor"],
            }
        },
        "method_name": "tensorflow/serving/predict",
    }
    assert signatures["any"]["inputs"]["x"]["tensor_shape"] == {"dim": [], "unknown_rank": True}
    assert signatures["any"]["outputs"]["size"]["tensor_shape"] == {"dim": [], "unknown_rank": False}
    assert signatures["three"]["inputs"]["tag"]["dtype"] == "DT_STRING"
    assert [dim["size"] for dim in signatures["three"]["inputs"]["sensor"]["tensor_shape"]["dim"]] == ["-1", "2", "2"]
    kinds = {name: row["dtype"] for name, row in signatures["kinds"]["inputs"].items()}
    assert kinds == {"flag": "DT_BOOL", "small": "DT_UINT8", "whole": "DT_INT32"}


def test_versions_and_labels(examples):
    body = {"instances": [2.0]}
    assert post(examples, MODEL, body) == {"predictions": [5.0]}  # the newest
    for path, expected in {
        f"{MODEL}/versions/123": 4.0,
        f"{MODEL}/versions/124": 5.0,
        f"{MODEL}/labels/stable": 4.0,
        f"{MODEL}/labels/canary": 5.0,
    }.items():
        assert post(examples, path, body) == {"predictions": [expected]}
    assert [one["version"] for one in get(examples, MODEL)["model_version_status"]] == ["124", "123"]
    assert [one["version"] for one in get(examples, f"{MODEL}/labels/stable")["model_version_status"]] == ["123"]
    assert get(examples, f"{MODEL}/labels/canary/metadata")["model_spec"]["version"] == "124"


@pytest.mark.parametrize(
    ("path", "code", "error"),
    [
        (f"{MODEL}/versions/9", 404, "Servable not found for request: Specific(half_plus_three, 9)"),
        (f"{MODEL}/labels/gone", 404, "Servable not found for request: Specific(half_plus_three, 7)"),
        (f"{MODEL}/labels/nope", 400, "Unrecognized servable version label: nope"),
        (f"{MODEL}/versions/x", 400, f"Malformed request: POST {MODEL}/versions/x:predict"),
        (f"{MODEL}/versions/{2**63}", 400, f"Failed to convert version: {2**63} to numeric."),
        ("/v1/models/a:b", 400, "Malformed request: POST /v1/models/a:b:predict"),
        ("/v1/models/half/versions/1", 404, "Servable not found for request: Specific(half, 1)"),
    ],
)
def test_what_is_not_there(examples, path, code, error):
    assert post(examples, path, {"instances": [1.0]}, code) == {"error": error}


@pytest.mark.parametrize(
    ("method", "path", "code", "error"),
    [
        ("GET", "/v1/models/half", 404, "Could not find any versions of model half"),
        ("GET", f"{MODEL}/versions/9", 404, "Could not find version 9 of model half_plus_three"),
        ("GET", "/v1/models/half/metadata", 404, "Servable not found for request: Latest(half)"),
        ("GET", f"{MODEL}:predict", 400, f"Malformed request: GET {MODEL}:predict"),
        ("POST", MODEL, 400, f"Malformed request: POST {MODEL}"),
        ("POST", f"{MODEL}:classify", 400, f"Malformed request: POST {MODEL}:classify"),
        ("GET", "/v1/nothing", 400, "Malformed request: GET /v1/nothing"),
        ("PUT", MODEL, 400, f"Malformed request: PUT {MODEL}"),
    ],
)
def test_other_requests(examples, method, path, code, error):
    answer = examples.http(method, path)
    assert (answer.status_code, answer.json()) == (code, {"error": error})


def test_a_signature_that_is_not_there(live_bundle):
    found = post(live_bundle, "/v1/models/small", {"instances": [1]}, 400)  # bundles have no default one
    assert found == {"error": 'Serving signature name: "serving_default" not found in signature def'}


def test_scalars_and_any_rank(examples):
    scalar = post(examples, MODEL, {"signature_name": "any", "inputs": 2.5})
    assert scalar == {"outputs": {"x": 2.5, "size": 1}}
    nested = post(examples, MODEL, {"signature_name": "any", "inputs": [[[1.5], [2.5]]]})
    assert nested == {"outputs": {"x": [[[1.5], [2.5]]], "size": 2}}
    # a scalar output has no rows
    rows = post(examples, MODEL, {"signature_name": "any", "instances": [1.0]}, 400)
    assert rows == {"error": "Tensor name: size has no shape information "}


def test_other_kinds(examples):
    columns = {"flag": [True, False], "small": [0, 255], "whole": [-(2**31), 2**31 - 1]}
    assert post(examples, MODEL, {"signature_name": "kinds", "inputs": columns}) == {"outputs": columns}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"signature_name": "three", "instances": [{**THREE_ROWS[0], "signal": [1]}]}, "'signal': found shape [1, 1]"),
        ({"instances": [[1.0]]}, "'x': found shape [1, 1], expected [None]"),
        ({"signature_name": "picky", "instances": [7]}, "indices[0] = 7 is not in [0, 3)"),
        ("{", "JSON Parse error: "),
        (b"\xff\xfe", "JSON Parse error: "),
        ("", "JSON Parse error: The document is empty"),
    ],
)
def test_what_does_not_fit(examples, body, error):
    found = post(examples, MODEL, body, 400)
    assert [*found] == ["error"]
    assert error in found["error"]


def test_a_real_bundle_answers_as_its_session_does(live_bundle, exact_bundle):
    inputs = small.inputs_of([["i20", "i21"], ["i40", "it's"]], k=[3, 7], exclude=[["i50", ""], ["i60", "日本"]])
    expected = load_bundle(exact_bundle).run("recommend", inputs)
    columns = {name: value.tolist() for name, value in inputs.items()}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    body = {"signature_name": "recommend"}
    by_column = post(live_bundle, "/v1/models/small", {**body, "inputs": columns})["outputs"]
    by_row = post(live_bundle, "/v1/models/small/versions/1", {**body, "instances": rows})["predictions"]
    assert by_column.keys() == expected.keys()
    for name, value in expected.items():
        for found in (by_column[name], [row[name] for row in by_row]):
            if value.dtype == object:
                assert found == [[item.decode() for item in row] for row in value.tolist()]
            else:
                np.testing.assert_array_equal(np.array(found, value.dtype), value)


def test_a_deadline_passes(examples):
    worker = examples.models.versions[123].worker
    app = FastAPI()
    app.include_router(router(examples.models, seconds=0.2))

    async def story() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.post(f"{PINNED}:predict", content='{"instances": [1.0]}')

    os.kill(worker.pid, signal.SIGSTOP)
    try:
        found = examples.within(story)
    finally:
        os.kill(worker.pid, signal.SIGCONT)
    assert (found.status_code, found.json()) == (504, {"error": "worker: serving_default had no answer in 0.2 s"})
    assert post(examples, PINNED, {"instances": [1.0]}) == {"predictions": [3.5]}


def test_a_worker_that_died_is_missed_until_there_is_another(examples):
    worker = examples.models.versions[124].worker
    pid = worker.pid
    os.kill(pid, signal.SIGKILL)
    examples.within(lambda: gone(worker, pid))
    found = post(examples, MODEL, {"instances": [1.0]}, 503)
    assert found["error"].startswith("worker: it is being started again: ")
    assert post(examples, PINNED, {"instances": [1.0]}) == {"predictions": [3.5]}  # another process
    end = time.monotonic() + LONG
    while examples.http("POST", f"{MODEL}:predict", {"instances": [1.0]}).status_code != 200:
        assert time.monotonic() < end
        time.sleep(0.05)


async def gone(worker, pid: int) -> None:
    while worker.pid == pid:
        await asyncio.sleep(0)


def test_openapi_tells_of_the_paths(examples):
    app = FastAPI()
    app.include_router(router(examples.models, 1.0))
    paths = app.openapi()["paths"]
    names = ["/v1/models/{name}", "/v1/models/{name}/versions/{number}", "/v1/models/{name}/labels/{label}"]
    assert {*paths} == {path + end for path in names for end in ("", ":predict", "/metadata")}
    assert "requestBody" in paths["/v1/models/{name}:predict"]["post"]

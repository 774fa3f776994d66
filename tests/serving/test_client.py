"""The client against a real server, and where there is none."""

from __future__ import annotations

import socket

import numpy as np
import pytest

from configs.errors import UserError
from serving.bundle import load_bundle
from serving.client import Client, ServerError
from tests.serving import small
from tests.serving.tfserving.live import free_port


def test_columns_and_rows(examples):
    with Client(examples.url, "half_plus_three", version=123) as client:
        assert client.predict({"x": np.array([1, 2, 5], np.float32)}) == [3.5, 4.0, 5.5]
        assert client.predict_rows([1.0, 2.0, 5.0]) == [3.5, 4.0, 5.5]
        assert client.predict({"x": [0.1, np.nan]})[0] == 3.05


def test_versions_and_labels(examples):
    for asked, expected in [({}, 5.0), ({"version": 123}, 4.0), ({"label": "stable"}, 4.0), ({"label": "canary"}, 5.0)]:
        with Client(examples.url, "half_plus_three", **asked) as client:
            assert client.predict_rows([2.0]) == [expected]
    with pytest.raises(UserError, match="found version 1 and label 'stable', expected one of them"):
        Client(examples.url, "half_plus_three", version=1, label="stable")


def test_bytes_there_and_back(examples):
    with Client(examples.url, "half_plus_three") as client:
        odd = bytes(range(256))
        found = client.predict({"image": [odd, b""], "caption": np.array(["a", "日本"], object)}, "images")
        assert found == {"image_bytes": [odd, b""], "caption": ["a", "日本"]}
        rows = [{"image": odd, "caption": "a"}]
        assert client.predict_rows(rows, "images") == [{"image_bytes": odd, "caption": "a"}]


def test_status_and_metadata(examples):
    with Client(examples.url, "half_plus_three", label="stable") as client:
        assert [(one["version"], one["state"]) for one in client.status()] == [("123", "AVAILABLE")]
        assert client.metadata()["serving_default"]["inputs"]["x"]["dtype"] == "DT_FLOAT"


def test_a_real_bundle(live_bundle, exact_bundle):
    inputs = small.inputs_of([["i20", "i21"], ["i40"]], k=5)
    expected = load_bundle(exact_bundle).run("recommend", inputs)
    with Client(live_bundle.url, "small") as client:
        found = client.predict(inputs, "recommend")
    assert found["items"] == [[item.decode() for item in row] for row in expected["items"].tolist()]
    np.testing.assert_array_equal(found["count"], expected["count"])


def test_errors_say_who_said_what(examples):
    with Client(examples.url, "half") as client, pytest.raises(ServerError) as found:
        client.predict_rows([1.0])
    assert found.value.code == 404
    path = f"{examples.url}/v1/models/half:predict"
    assert str(found.value) == f"{path}: 404: Servable not found for request: Latest(half)"


def test_no_server_there():
    url = f"http://127.0.0.1:{free_port()}"
    with Client(url, "half") as client, pytest.raises(ServerError, match="is the server running there") as found:
        client.status()
    assert found.value.code is None
    assert "\n" not in str(found.value)


def test_a_server_that_does_not_answer():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with Client(url, "half", seconds=0.2) as client, pytest.raises(ServerError) as found:
            client.status()
    assert str(found.value) == f"{url}/v1/models/half: no answer in 0.2 s"

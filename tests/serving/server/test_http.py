"""The server as load balancers and other clients of HTTP know one: methods, and errors that nobody foresaw."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from serving.state import STATE
from tests.serving.server.running import Running, serving
from tests.serving.server.test_server import publish


@pytest.fixture(scope="module")
def running(exact_bundle, tmp_path_factory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("http")
    publish(exact_bundle, folder / "small", 1)
    with serving(folder / "small", folder / "state") as found:
        yield found


# --- methods --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", "/", "/docs", "/page/main.js", "/status", "/users/u1", "/v1/models/small"]
)
def test_a_head_is_that_of_the_whole_answer_and_has_no_body(running, path):
    whole, head = running.client.get(path), running.client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]
    assert int(head.headers["content-length"]) == pytest.approx(len(whole.content), abs=200)  # the status has moved on


def test_nothing_but_a_head_goes_over_the_wire(running):
    where = urlsplit(running.address)
    with socket.create_connection((where.hostname, where.port), timeout=10) as connection:
        connection.sendall(b"HEAD /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        said = b"".join(iter(lambda: connection.recv(65536), b""))
    assert said.startswith(b"HTTP/1.1 200 OK\r\n")
    assert said.endswith(b"\r\n\r\n")
    assert said.count(b"\r\n\r\n") == 1


def test_heads_count_with_the_answers_of_their_path(running):
    before = running.metric("twinspire_requests", route="/readyz", status="200")
    running.client.head("/readyz")
    assert running.metric("twinspire_requests", route="/readyz", status="200") == before + 1


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/healthz", "GET, HEAD, OPTIONS"),
        ("/readyz", "GET, HEAD, OPTIONS"),
        ("/users/u1", "GET, HEAD, OPTIONS, PUT"),
        ("/recommend", "OPTIONS, POST"),
        ("/openapi.json", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_path_tells_its_methods(running, path, allowed):
    told = running.client.options(path)
    assert (told.status_code, told.content, told.headers["allow"]) == (204, b"", allowed)
    refused = running.client.delete(path)
    assert (refused.status_code, refused.headers["allow"]) == (405, allowed)
    assert refused.json() == {"error": f"method: found DELETE, expected {allowed.replace(', ', ' or ')}"}
    assert running.client.options("/nothing").status_code == 404


def test_the_head_of_a_server_without_a_version_says_so(tmp_path):
    with serving(tmp_path / "small", tmp_path / "state", ready=False) as empty:
        assert empty.client.head("/healthz").status_code == 200
        assert empty.client.head("/readyz").status_code == 503


# --- errors ---------------------------------------------------------------------------------------------------


def test_every_error_is_json(running):
    refused = [
        running.client.get("/nothing"),
        running.client.get("/recommend"),
        running.client.get("/page/none.js"),
        running.client.get("/items"),
        running.client.post("/recommend", content="{"),
        running.client.post("/nothing", content="{"),
        running.client.put("/users/u1", content="{"),
        running.client.get("/v1/models/other"),
        running.client.get("/v1/nothing"),
        running.client.request("TRACE", "/healthz"),
    ]
    for answer in refused:
        assert answer.status_code >= 400, answer.url
        assert [*answer.json()] == ["error"], answer.url


def test_what_nobody_foresaw_is_json_counted_and_in_the_log_once(exact_bundle, tmp_path):
    state = publish(exact_bundle, tmp_path / "small", 1) / STATE
    with serving(tmp_path / "small", tmp_path / "state") as running:
        state.write_bytes(b"\xff" * state.stat().st_size)  # SQLite looks at it only now
        for method, path, route, body in (
            ("GET", "/users/u1", "/users/{user}", None),
            ("GET", "/items?text=i2", "/items", None),
            ("POST", "/recommend", "/recommend", {"user": "u1"}),
            ("POST", "/similar", "/similar", {"item": "i20"}),
        ):
            answer = running.client.request(method, path, json=body)
            assert (answer.status_code, answer.json()) == (500, {"error": "the server failed; its log says how"}), path
            assert running.metric("twinspire_requests", route=route, status="500") == 1, path
            failed = f"{method} {path.partition('?')[0]} failed"
            running.until(lambda said=failed: any(said in line for line in running.said), "a line in the log")
            assert sum(failed in line for line in running.said) == 1, path
        assert sum("Exception in ASGI" in line for line in running.said) == 0
        assert running.client.get("/healthz").status_code == 200


def test_an_origin_that_is_no_address_is_an_error_in_json(running):
    answer = running.client.post("/recommend", json={}, headers={"Origin": "http://["})
    assert answer.status_code >= 400
    assert [*answer.json()] == ["error"]
    assert running.metric("twinspire_requests", status=str(answer.status_code)) >= 1

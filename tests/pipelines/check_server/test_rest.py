"""A real HTTP server that answers as TF Serving documents, and as other things do."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pipelines.check_server.findings import PreflightError
from pipelines.check_server.rest import addressed, check_url
from tests.pipelines.check_server.exports import SEARCH, needs

NOT_REGISTERED = (
    f"Op type not registered '{SEARCH}' in binary running on 3e5ec75a2724. Make sure the Op and Kernel are registered "
    "in the binary running in this process."
)
OLDER = (
    "NodeDef mentions attr 'grad_x' not in Op<name=BatchMatMulV2>. (Check whether your GraphDef-interpreting binary is "
    "up to date with your GraphDef-generating binary.)."
)


class Server:
    """Answers each path with a status and a body; says which paths were asked."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, Any]] = {}
        self.asked: list[str] = []
        self.delay = self.hesitation = 0.0  # seconds before the answer, and before its body
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                time.sleep(outer.delay)
                unknown = (404, {"error": "Malformed request: GET " + self.path})
                status, body = outer.answers.get(self.path, unknown)
                self.send_response(status)
                self.end_headers()
                time.sleep(outer.hesitation)
                with suppress(ConnectionError):  # who asked has gone
                    self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

            def log_message(self, *arguments: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def has(self, *versions: dict[str, Any], name: str = "shop") -> None:
        self.answers[f"/v1/models/{name}"] = 200, {"model_version_status": list(versions)}

    def shows(self, signatures: dict[str, Any], version: int = 3) -> None:
        spec = {"name": "shop", "signature_name": "", "version": str(version)}
        body = {"model_spec": spec, "metadata": {"signature_def": {"signature_def": signatures}}}
        self.answers[f"/v1/models/shop/versions/{version}/metadata"] = 200, body


def version(number: int, state: str, code: str = "OK", message: str = "") -> dict[str, Any]:
    """One version's status as TF Serving writes it."""
    return {"version": str(number), "state": state, "status": {"error_code": code, "error_message": message}}


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    threading.Thread(target=server.http.serve_forever, daemon=True).start()
    yield server
    server.http.shutdown()
    server.http.server_close()


SIGNATURES = {
    "recommend": {"inputs": {"history": {"dtype": "DT_STRING"}, "k": {"dtype": "DT_INT32"}}, "outputs": {}},
    "__saved_model_init_op": {"inputs": {}, "outputs": {}},
}


def statuses(outcome) -> dict[str, str]:
    return {finding.what: finding.status for finding in outcome.findings}


def test_a_loaded_version_with_the_same_signatures(server):
    server.has(version(2, "END"), version(3, "AVAILABLE"))
    server.shows(SIGNATURES)
    found = check_url(server.url, needs())
    assert found.loads is True
    assert statuses(found) == {
        "model": "ok",
        "signatures": "ok",
        "TensorFlow": "cannot tell",
        "CPU": "cannot tell",
    }
    assert server.asked == ["/v1/models/shop", "/v1/models/shop/versions/3/metadata"]


def test_an_operation_that_the_server_lacks_is_shown_and_named(server):
    server.has(version(3, "END", "NOT_FOUND", NOT_REGISTERED))
    found = check_url(server.url, needs())
    assert found.loads is False
    assert found.lacks == {SEARCH}
    assert found.findings[0].detail == f"version 3 is END: NOT_FOUND: {NOT_REGISTERED}"
    assert found.why.endswith(f"it lacks ScaNN's operation {SEARCH}")


def test_an_older_tensorflow_is_recognised(server):
    server.has(version(3, "END", "INVALID_ARGUMENT", OLDER))
    found = check_url(server.url, needs())
    assert found.loads is False
    assert not found.lacks
    assert found.retry == "use a server of TensorFlow 2.20.0 or later"


def test_any_other_error_is_shown(server):
    server.has(version(3, "END", "RESOURCE_EXHAUSTED", "no room\nfor it"))
    found = check_url(server.url, needs())
    assert found.loads is False
    assert found.why.endswith("cannot load it: RESOURCE_EXHAUSTED: no room for it")


@pytest.mark.parametrize("state", ["START", "LOADING", "UNLOADING", "END"])
def test_a_version_that_is_not_loaded_tells_nothing(server, state):
    server.has(version(3, state))
    found = check_url(server.url, needs())
    assert found.loads is None
    assert ("ask again" in found.retry) == (state in ("START", "LOADING"))


def test_another_version_alone_tells_nothing(server):
    server.has(version(1, "END"), version(2, "AVAILABLE"))
    found = check_url(server.url, needs())
    assert found.loads is None
    assert "no version 3 there, only 1 END, 2 AVAILABLE" in found.findings[0].detail


@pytest.mark.parametrize(
    ("signatures", "said"),
    [
        ({"serving_default": {"inputs": {}}}, "no 'recommend'"),
        ({"recommend": {"inputs": {"history": {}, "n": {}}}}, "the inputs of 'recommend' differ in k, n"),
    ],
)
def test_another_model_of_that_name_is_not_taken_for_it(server, signatures, said):
    server.has(version(3, "AVAILABLE"))
    server.shows(signatures)
    found = check_url(server.url, needs())
    assert found.loads is None
    assert said in found.why


def test_a_server_without_metadata(server):
    server.has(version(3, "AVAILABLE"))
    found = check_url(server.url, needs())
    assert found.loads is True
    assert statuses(found)["signatures"] == "cannot tell"


@pytest.mark.parametrize("ending", ["/", "/v1", "/v1/models/", "/v1/models/shop", "/v1/models/shop/versions/3/"])
def test_a_url_may_end_anywhere_on_the_way(server, ending):
    server.has(version(3, "AVAILABLE"))
    server.shows(SIGNATURES)
    assert check_url(server.url + ending, needs()).loads is True


def test_what_the_url_names_goes_before_the_bundle(server):
    server.has(version(7, "END", "ABORTED", "seven"), version(3, "AVAILABLE"), name="my%20shop")
    assert check_url(server.url + "/v1/models/my%20shop/versions/7", needs()).why.endswith("ABORTED: seven")
    model = addressed(server.url + "/proxy/v1/models/my%20shop/versions/7", needs())
    assert (model.url, model.name, model.version) == (f"{server.url}/proxy/v1/models/my%20shop", "my shop", 7)


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http:///v1",
        "http://host/v1/models/shop:predict",
        "http://h/v1/models/a/b",
        "http://[bad",
        "http://h/v1/models/\udcff",
        f"http://h/v1/models/a/versions/{'9' * 5000}",
    ],
)
def test_a_url_that_means_nothing(url):
    with pytest.raises(
        PreflightError, match=r"^check-server: found .*, expected http://HOST:PORT, or [^,]*$"
    ) as raised:
        check_url(url, needs())
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((404, {"error": "Could not find any versions of model shop"}), "answered 404: Could not find any versions"),
        ((500, b"<html>"), "answered 500: Internal Server Error"),
        ((200, b"<html>hello</html>"), "answered '<html>hello</html>', expected JSON"),
        ((200, {"hello": 1}), """answered '{"hello": 1}', expected model_version_status"""),
        ((200, {"model_version_status": []}), "expected model_version_status"),
        ((200, {"model_version_status": [{"version": "x"}]}), "expected model_version_status"),
        ((200, [1]), "expected model_version_status"),
    ],
)
def test_answers_that_are_none(server, answer, said):
    server.answers["/v1/models/shop"] = answer
    with pytest.raises(PreflightError) as raised:
        check_url(server.url, needs())
    assert said in str(raised.value)
    assert f"{server.url}/v1/models/shop" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_slow_server_is_given_up(server):
    server.delay = 2.0
    started = time.monotonic()
    with pytest.raises(PreflightError, match=r"does not answer \(timed out\)"):
        check_url(server.url, needs(), timeout=0.1)
    assert time.monotonic() - started < 1.5


def test_an_error_whose_body_does_not_come(server):
    server.answers["/v1/models/shop"], server.hesitation = (500, {"error": "too late"}), 1.0
    with pytest.raises(PreflightError, match=r"answered 500: Internal Server Error$"):
        check_url(server.url, needs(), timeout=0.1)


def test_nobody_there_and_no_port():
    with pytest.raises(PreflightError, match=r"does not answer .*refused.*rest_api_port"):
        check_url("http://127.0.0.1:9", needs())
    with pytest.raises(PreflightError, match="does not answer"):
        check_url("http://127.0.0.1:nine", needs())

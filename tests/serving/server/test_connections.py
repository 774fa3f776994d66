"""Clients that send slowly, say nothing or do not read, over real sockets: what they get, and others meanwhile."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http import HTTPStatus

import httpx
import pytest
import uvicorn
import uvloop

from configs.serving import Limits, Serving
from serving.server.admission import Admission
from serving.server.connections import among
from serving.server.metrics import Metrics
from tests.serving.server.running import serving
from tests.serving.server.test_server import publish

READ, LARGE = 0.4, 200_000  # seconds; bytes of an answer of `/large`
LONG = 20.0


class Live:
    """The real limits and sockets before an application that says how long the body was."""

    def __init__(self, url: str, metrics: Metrics) -> None:
        self.url, self.metrics = url, metrics
        self.port = int(url.rsplit(":", 1)[1])

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    def closed(self, reason: str) -> float:
        return self.value("twinspire_connections_closed_total", reason=reason)

    def connect(self, first: bytes = b"") -> socket.socket:
        found = socket.create_connection(("127.0.0.1", self.port), timeout=LONG)
        found.sendall(first)
        return found


async def answers(scope, receive, send) -> None:
    body = (await receive())["body"]
    said = b"x" * LARGE if scope["path"] == "/large" else str(len(body)).encode()
    headers = [(b"content-length", str(len(said)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": said})


@contextmanager
def live(**limits) -> Iterator[Live]:
    metrics, settings = Metrics(), Serving(limits=Limits(**{"read": READ, **limits}))
    listening = socket.create_server(("127.0.0.1", 0))
    app = Admission(answers, settings, metrics)
    config = uvicorn.Config(
        app, http=among(settings.limits, metrics), ws="none", lifespan="off", log_config=None, timeout_keep_alive=60
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: uvloop.run(server.serve(sockets=[listening])))
    thread.start()
    try:
        yield Live(f"http://127.0.0.1:{listening.getsockname()[1]}", metrics)
    finally:
        server.should_exit = True
        thread.join(LONG)


def rest(client: socket.socket) -> bytes:
    """What comes until the server closes."""
    found = b""
    while True:
        try:
            part = client.recv(65_536)
        except ConnectionResetError:
            return found
        if not part:
            return found
        found += part


def drip(client: socket.socket, part: bytes, seconds: float) -> None:
    """Send a little every now and then, for so long or until the server has enough."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            client.sendall(part)
        except OSError:
            return
        time.sleep(0.02)


def status_and_error(said: bytes) -> tuple[int, str]:
    head, _, body = said.partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower()
    return int(head.split()[1]), json.loads(body)["error"]


HEAD = b"POST /recommend HTTP/1.1\r\nHost: a\r\n"


@pytest.mark.parametrize(
    ("first", "part"),
    [
        (HEAD, b"X-More: a\r\n"),
        (HEAD + b"Content-Length: 9999\r\n\r\n", b"a"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
    ],
)
def test_who_sends_a_head_or_a_body_slowly_is_told_so_and_others_are_served_meanwhile(first, part):
    with live() as server, ExitStack() as ends:
        slow = [ends.enter_context(server.connect(first)) for _ in range(20)]
        started = time.monotonic()
        drips = [threading.Thread(target=drip, args=(one, part, 4 * READ)) for one in slow]
        for one in drips:
            one.start()
        with httpx.Client(base_url=server.url, timeout=LONG) as client:
            while time.monotonic() < started + 2 * READ:
                assert client.post("/recommend", content=b"abc").text == "3"
        said = [rest(one) for one in slow]
        for one in drips:
            one.join()
        found = [status_and_error(one) for one in said if one]  # some lose it, as they went on sending
        assert found
        assert {*found} == {(408, f"request: not here after {READ:g} s")}
        assert server.closed("slow") == 20
        assert server.value("twinspire_requests_total", route="refused", status="408") == 20


def test_a_connection_that_says_nothing_is_closed_and_one_between_two_requests_is_not():
    with live() as server, server.connect() as silent, httpx.Client(base_url=server.url, timeout=LONG) as client:
        assert client.post("/recommend", content=b"abc").text == "3"
        assert rest(silent) == b""
        time.sleep(2 * READ)
        assert client.post("/recommend", content=b"abcd").text == "4"
        assert (server.closed("slow"), server.value("twinspire_connections")) == (1, 1)


def test_the_rest_of_a_request_that_was_refused_may_not_come_for_ever():
    with live(body=10) as server, server.connect(HEAD + b"Content-Length: 9999\r\n\r\n") as client:
        started = time.monotonic()
        sending = threading.Thread(target=drip, args=(client, b"a", 10 * READ))
        sending.start()
        said = rest(client)
        sending.join()
        assert time.monotonic() < started + 8 * READ
        assert said.count(b"HTTP/1.1") == 1
        assert said.startswith(b"HTTP/1.1 413 ")


def test_a_slow_request_comes_whole_where_it_is_here_in_time():
    with live(read=LONG) as server, server.connect(HEAD[:9]) as client:
        for part in (HEAD[9:], b"Content-Length: 4\r\n\r\n", b"ab", b"cd" + HEAD, b"Content-Length: 1\r\n\r\ne"):
            time.sleep(0.05)
            client.sendall(part)
        found = b""
        while found.count(b"HTTP/1.1 200") < 2 or not found.endswith(b"1"):
            found += client.recv(65_536)
        assert found.split(b"\r\n\r\n")[1][:1] == b"4"


def test_a_head_without_end_is_refused():
    with live(read=LONG) as server, server.connect(HEAD) as client:
        drip(client, b"X-More: " + b"a" * 4_000 + b"\r\n", 1.0)
        said = rest(client)
        if said:
            assert status_and_error(said)[0] == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        assert server.closed("head") == 1


def test_an_answer_that_nobody_reads_is_given_up():
    request = b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n"
    with live(queue=1) as server, server.connect(request * 200) as client:
        end = time.monotonic() + LONG
        while not server.closed("unread"):
            assert time.monotonic() < end
            time.sleep(0.02)
        assert len(rest(client)) < 200 * LARGE
        assert server.value("twinspire_in_flight") == 0


def test_one_more_than_there_may_be_closes_the_one_that_waited_longest():
    with live(connections=10, read=LONG) as server, ExitStack() as ends:
        kept = ends.enter_context(httpx.Client(base_url=server.url, timeout=LONG))
        assert kept.post("/recommend", content=b"abc").text == "3"
        slow = [ends.enter_context(server.connect(HEAD)) for _ in range(9)]
        with httpx.Client(base_url=server.url, timeout=LONG) as client:
            assert client.post("/recommend", content=b"abcd").text == "4"  # `kept` had waited longest
            more = [ends.enter_context(server.connect(HEAD)) for _ in range(3)]
            assert [rest(one) for one in slow[:3]] == [b""] * 3
            assert client.post("/recommend", content=b"ab").text == "2"
            for one in (*slow[3:], *more):
                one.sendall(b"Content-Length: 1\r\n\r\na")
                assert one.recv(65_536).startswith(b"HTTP/1.1 200")
        assert (server.closed("full"), server.closed("slow")) == (4, 0)


def test_a_server_serves_while_slow_clients_hold_all_the_connections_they_can(exact_bundle, tmp_path):
    publish(exact_bundle, tmp_path / "small", 1)
    limits = ("limits.connections=50", "limits.read=4")
    with serving(tmp_path / "small", tmp_path / "state", *limits) as running, ExitStack() as ends:
        port = int(running.address.rsplit(":", 1)[1])
        for _ in range(100):
            slow = ends.enter_context(socket.create_connection(("127.0.0.1", port), timeout=LONG))
            slow.sendall(HEAD + b"Content-Length: 100\r\n\r\na")
            with httpx.Client(base_url=running.address, timeout=LONG) as client:
                assert client.post("/recommend", json={"user": "u1", "k": 3}).json()["source"] == "model"
        assert running.metric("twinspire_connections_closed", reason="full") > 0
        assert running.metric("twinspire_connections") <= 50
        running.until(lambda: running.metric("twinspire_connections") == 1, "the end of the slow ones")

"""Clients that send slowly, say nothing or do not read, over real sockets: what they get, and others meanwhile."""

from __future__ import annotations

import asyncio
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
    if scope["path"] == "/slow":
        await asyncio.sleep(READ / 2)
    size = LARGE if scope["path"] == "/large" else int(scope["query_string"] or 0)
    said = b"x" * size or str(len(body)).encode()
    headers = [(b"content-length", str(len(said)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": said})


@contextmanager
def live(kept: float = 60, key: str | None = None, **limits) -> Iterator[Live]:
    metrics, settings = Metrics(), Serving(api_key=key, limits=Limits(**{"read": READ, **limits}))
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)  # what the system holds for a client is bounded
    app = Admission(answers, settings, metrics)
    config = uvicorn.Config(
        app, http=among(settings.limits, metrics), ws="none", lifespan="off", log_config=None, timeout_keep_alive=kept
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


@pytest.mark.parametrize(("kept", "part"), [(60, b"\r\n"), (60, b""), (0.2, b"\r\n")])
def test_the_end_of_a_line_is_no_request(kept, part):
    with live(kept=kept) as server, server.connect(b"\r\n") as client:
        started = time.monotonic()
        drip(client, part, 5 * READ)
        assert rest(client) == b""
        assert READ / 2 < time.monotonic() - started < 5 * READ + 1
        assert (server.closed("slow"), server.value("twinspire_connections")) == (1, 0)


REFUSED = [
    (b"Content-Length: 99\r\n\r\n", b"a" * 99, 413),
    (b"Content-Length: 5\r\nOrigin: http://b\r\n\r\n", b"a" * 5, 403),
    (b"Content-Length: 0\r\n\r\n", b"\r\n", 200),
    (b"Content-Length: 0\r\n\r\n", b"", 200),
]


@pytest.mark.parametrize(("more", "then", "status"), REFUSED)
def test_a_connection_that_has_its_answer_is_kept_for_so_long_whatever_else_comes(more, then, status):
    with live(kept=1, read=0.3, body=10) as server, server.connect(HEAD + more) as client:
        assert int(client.recv(65_536).split()[1]) == status
        time.sleep(0.1)
        client.sendall(then)
        time.sleep(0.5)
        assert server.value("twinspire_connections") == 1
        client.settimeout(2)
        assert rest(client) == b""
        assert server.closed("slow") == 0


def test_the_body_of_a_request_without_the_key_may_come_later_and_the_next_request_is_answered():
    with live(key="secret-key", kept=1) as server, server.connect(HEAD + b"Content-Length: 5\r\n\r\n") as client:
        assert client.recv(65_536).startswith(b"HTTP/1.1 401 ")
        client.sendall(b"abcde" + HEAD + b"X-API-Key: secret-key\r\nContent-Length: 2\r\n\r\nab")
        assert client.recv(65_536).endswith(b"\r\n\r\n2")
        client.settimeout(2)
        assert rest(client) == b""


def test_the_time_for_a_request_begins_with_it():
    with live() as server, server.connect() as client:
        for _ in range(3):
            time.sleep(0.8 * READ)
            client.sendall(HEAD)
            time.sleep(0.5 * READ)
            client.sendall(b"Content-Length: 1\r\n\r\na")
            assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")


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


def test_what_comes_with_a_body_is_no_head():
    large = 100_000
    request = b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % large + b"a" * large
    with live(read=LONG) as server, server.connect(request + HEAD[:20]) as client:
        time.sleep(READ / 4)
        client.sendall(HEAD[20:] + b"Content-Length: 3\r\n\r\nabc")
        found = b""
        while not found.endswith(b"\r\n\r\n3"):
            part = client.recv(65_536)
            assert part, found
            found += part
        assert found.count(b"HTTP/1.1 200 ") == 2
        assert b"\r\n\r\n%d" % large in found


@pytest.mark.parametrize(
    ("next_one", "status", "reason"),
    [(HEAD + b"X: " + b"a" * 500_000, 431, "head"), (b"\x16\x03\x01", 400, "malformed")],
)
def test_a_refusal_comes_after_the_answer_to_the_request_before(next_one, status, reason):
    with live(read=LONG) as server, server.connect(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n") as client:
        client.sendall(next_one)
        said = rest(client)
        assert said.startswith(b"HTTP/1.1 200 ")
        assert b"\r\n\r\n0HTTP/1.1 %d " % status in said
        assert server.closed(reason) == 1


def test_trailers_without_end_are_refused_and_small_parts_of_a_body_are_not():
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    with live(read=LONG) as server, server.connect(chunked) as client:
        for _ in range(300):
            client.sendall(b"1;%s\r\na\r\n" % (b"b" * 1_000))
        client.sendall(b"0\r\nX-End: a\r\n\r\n")
        assert client.recv(65_536).endswith(b"\r\n\r\n300")
        client.sendall(chunked + b"1\r\na\r\n0\r\n")
        drip(client, b"X-More: " + b"a" * 4_000 + b"\r\n", 1.5)
        said = rest(client)
        if said:
            assert status_and_error(said) == (431, "trailers: expected at most 65536 bytes")
        assert server.closed("head") == 1


@pytest.mark.parametrize(
    "what",
    [
        b"\x16\x03\x01\x02",
        b"GET / FTP/1\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nz\r\n",
        b"CONNECT a:1 HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_http_is_told_so_and_counted(what):
    with live() as server, server.connect(what) as client:
        assert status_and_error(rest(client)) == (400, "request: found what is no HTTP/1.1")
        assert server.value("twinspire_requests_total", route="refused", status="400") == 1
        assert server.closed("malformed") == 1


def test_an_answer_that_nobody_reads_is_given_up():
    request = b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n"
    with live(queue=1) as server, server.connect(request * 200) as client:
        end = time.monotonic() + LONG
        while not server.closed("unread"):
            assert time.monotonic() < end
            time.sleep(0.02)
        assert len(rest(client)) < 200 * LARGE
        assert server.value("twinspire_in_flight") == 0


def test_the_last_answer_of_a_connection_is_given_up_too_however_little_of_it_is_left():
    with live() as server, ExitStack() as ends:
        for size in range(20_000, 1_000_000, 30_000):  # of some, less is left than makes the server's end wait
            client = ends.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            client.connect(("127.0.0.1", server.port))
            client.sendall(b"GET /?%d HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % size)
        end = time.monotonic() + LONG / 4
        while server.value("twinspire_connections") or not server.closed("unread"):
            assert time.monotonic() < end
            time.sleep(0.02)


def test_a_connection_with_a_second_request_under_way_is_not_the_one_that_waits():
    slow = b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"
    with live(connections=1, read=LONG) as server, server.connect(slow * 2) as client:
        assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")
        with server.connect() as other:
            assert rest(other) == b""
        assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")


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

"""What is let in: the key, the size of a body, and how many at once."""

from __future__ import annotations

import asyncio
import json

import pytest

from configs.serving import Limits, Runtime, Serving
from serving.server.admission import Admission
from serving.server.metrics import Metrics

KEY = "a-key-of-length"


class Inner:
    """Answers 200 with the length of the body, once it may."""

    def __init__(self) -> None:
        self.entered, self.may = 0, asyncio.Event()
        self.may.set()

    async def __call__(self, scope, receive, send):
        self.entered += 1
        await self.may.wait()
        message = await receive()
        body = str(len(message["body"])).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})


def scope(path: str = "/recommend", **headers: str):
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": "POST", "path": path, "headers": named}


async def call(app, said, *parts: bytes, pause: float = 0.0):
    """Status, headers and body of the answer to a request whose body comes in parts."""
    rest = list(parts or (b"",))
    sent: list[dict] = []

    async def receive():
        if pause:
            await asyncio.sleep(pause)
        part = rest.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(rest)}

    async def send(message):
        sent.append(message)

    await app(said, receive, send)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, sent[1]["body"]


def admitted(**settings):
    inner = Inner()
    return inner, Admission(inner, Serving(**settings), Metrics())


def test_a_body_comes_whole_however_it_was_cut():
    async def story():
        _, app = admitted()
        assert (await call(app, scope(), b"ab", b"", b"cde"))[2] == b"5"
        assert (await call(app, scope()))[2] == b"0"

    asyncio.run(story())


@pytest.mark.parametrize("said", [scope(content_length="11"), scope()])
def test_a_large_body_is_refused(said):
    async def story():
        inner, app = admitted(limits=Limits(body=10))
        status, _, body = await call(app, said, b"123456", b"78901", b"never read")
        assert (status, json.loads(body)["error"]) == (413, "body: expected at most 10 bytes")
        assert not inner.entered
        assert (await call(app, scope(content_length="10"), b"1234567890"))[0] == 200

    asyncio.run(story())


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (scope(), 401),
        (scope(x_api_key="wrong"), 401),
        (scope(authorization="Bearer wrong"), 401),
        (scope(authorization=KEY[:-1]), 401),
        (scope(x_api_key=KEY), 200),
        (scope(authorization=f"Bearer {KEY}"), 200),
        (scope("/metrics"), 401),
        (scope("/healthz"), 200),
        (scope("/readyz"), 200),
        (scope("/"), 200),
        (scope("/page/app.js"), 200),
        (scope("/v1/models/m:predict"), 401),
    ],
)
def test_the_key_opens_all_but_health_and_the_page(said, status):
    async def story():
        _, app = admitted(api_key=KEY)
        return await call(app, said)

    found, headers, _ = asyncio.run(story())
    assert found == status
    assert ("www-authenticate" in headers) == (status == 401)


@pytest.mark.parametrize(
    ("headers", "settings", "status"),
    [
        ({"origin": "http://evil.example", "host": "127.0.0.1:8080"}, {}, 403),
        ({"origin": "null", "host": "127.0.0.1:8080"}, {}, 403),
        ({"origin": "http://127.0.0.1:8080", "host": "127.0.0.1:8080"}, {}, 200),
        ({"host": "127.0.0.1:8080"}, {}, 200),  # no browser
        ({"origin": "http://evil.example", "host": "a", "x_api_key": KEY}, {"api_key": KEY}, 200),
    ],
)
def test_no_page_of_another_site_posts_to_a_server_without_a_key(headers, settings, status):
    async def story():
        _, app = admitted(**settings)
        return await call(app, scope("/events", **headers), b"{}")

    assert asyncio.run(story())[0] == status


def test_more_than_can_wait_are_refused_at_once_and_room_is_given_back():
    async def story():
        inner, app = admitted(limits=Limits(queue=2), runtime=Runtime(calls=1))
        inner.may.clear()
        first = [asyncio.ensure_future(call(app, scope())) for _ in range(3)]
        while inner.entered < 3:
            await asyncio.sleep(0)
        status, headers, body = await asyncio.wait_for(call(app, scope()), 1)
        assert (status, headers["retry-after"]) == (503, "1")
        assert "too many" in json.loads(body)["error"]
        inner.may.set()
        assert (await call(app, scope("/healthz")))[0] == 200
        assert [answer[0] for answer in await asyncio.gather(*first)] == [200] * 3
        assert (await call(app, scope()))[0] == 200

    asyncio.run(story())


def test_who_sends_slowly_takes_nobodys_room_and_who_goes_away_is_not_answered():
    async def story():
        inner, app = admitted(limits=Limits(queue=1), runtime=Runtime(calls=1))
        slow = [asyncio.ensure_future(call(app, scope(), b"a", b"b", b"c", pause=0.1)) for _ in range(10)]
        await asyncio.sleep(0.05)
        assert (await call(app, scope()))[0] == 200
        for one in slow:
            one.cancel()

        async def gone():
            return {"type": "http.disconnect"}

        await app(scope(), gone, None)
        assert inner.entered == 1

    asyncio.run(story())

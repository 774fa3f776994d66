"""The pages as a person uses them: a real server, and Debian's Chromium driven by Playwright."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from serving.rollout import Rollout, write_rollout
from serving.state import STATE, add_titles
from tests.browser import chromium
from tests.serving import small
from tests.serving.server.running import Running, serving
from tests.serving.server.test_server import _seal_again, publish

HOSTILE = "<img src=x onerror=\"document.title='taken over'\"> & <script>document.title='taken over'</script>"
LONG = "W" * 200
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 800}
PLACES = "#places li"


@pytest.fixture(scope="module")
def model(exact_bundle, tmp_path_factory) -> Path:
    """The tiny bundle with titles that a browser must not believe."""
    folder = tmp_path_factory.mktemp("page")
    bundle = small.copy(exact_bundle, folder / "bundle")
    titles = [(item, f"{HOSTILE if row % 2 else LONG} {item}") for row, item in enumerate(small.IDS) if row % 5 < 2]
    add_titles(bundle / STATE, titles)
    _seal_again(bundle)
    publish(bundle, folder / "small", 1)
    return folder / "small"


@pytest.fixture(scope="module")
def running(model, tmp_path_factory) -> Iterator[Running]:
    """One server for all that leave it as it is, but for users of their own."""
    with serving(model, tmp_path_factory.mktemp("state")) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        yield found
        found.close()


class Answer(NamedTuple):
    """A list that was asked for: the request's body, and the answer."""

    asked: dict[str, Any]
    said: dict[str, Any]


class Visit:
    """A page of a browser, what it asked for, and what went wrong in it."""

    def __init__(self, page: Any, address: str) -> None:
        self.page, self.address = page, address
        self.requests: list[str] = []
        self.wrong: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda said: self.wrong.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.set_default_timeout(20_000)

    def open(self, path: str = "/") -> Visit:
        self.page.goto(self.address + path)
        return self

    def list_after(self, act: Callable[[], Any]) -> Answer:
        """The list that an act leads to, once the page shows just that."""
        with self.page.expect_response(lambda answer: answer.url.endswith("/recommend")) as found:
            act()
        answer = Answer(json.loads(found.value.request.post_data), found.value.json())
        expected = [one["item"] for one in answer.said["items"]]
        self.until(lambda: self.items() == expected)
        return answer

    def items(self) -> list[str]:
        return self.page.locator(PLACES).evaluate_all("rows => rows.map((row) => row.dataset.item)")

    def history(self) -> list[str]:
        return self.page.locator(".history li button").all_inner_texts()

    def until(self, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + 20
        while not holds():
            assert time.monotonic() < end, self.page.locator("body").inner_text()
            self.page.wait_for_timeout(20)

    def overflow(self) -> list[str]:
        """What reaches out of the page sideways."""
        return self.page.evaluate("""() => [...document.body.querySelectorAll("*")]
            .filter((one) => one.getClientRects().length && !one.closest(".skip, [role=listbox], #toast, pre"))
            .filter((one) => one.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
            .map((one) => `${one.tagName}.${one.className} ${one.textContent.slice(0, 40)}`)""")


@contextmanager
def visiting(browser: Any, address: str, errors: tuple[str, ...] = (), **given: Any) -> Iterator[Visit]:
    """A page that asks nobody else, and says nothing on the console but `errors`."""
    context = browser.new_context(**{"viewport": WIDE, **given})
    found = Visit(context.new_page(), address)
    try:
        yield found
        assert [url for url in found.requests if not url.startswith(f"{address}/")] == []
        assert [line for line in found.wrong if not any(part in line for part in errors)] == []
    finally:
        context.close()


@pytest.fixture
def visit(browser, running) -> Iterator[Visit]:
    with visiting(browser, running.address) as found:
        yield found


# --- what a person does with it -------------------------------------------------------------------------------


def test_it_loads_a_list_for_anybody_and_health_without_moving(visit):
    visit.page.add_init_script("""
        window.moved = 0;
        new PerformanceObserver((list) => list.getEntries().forEach((one) => { window.moved += one.value; }))
          .observe({ type: "layout-shift", buffered: true });
    """)
    visit.list_after(visit.open)
    page = visit.page
    assert page.locator("#said").inner_text().startswith("model 10 items · version 1 ·")
    page.locator("#health", has_text="1/1 ready").wait_for()
    assert "1 stable" in page.locator("#health").inner_text()
    for said in ("answers", " ms"):  # a store too busy to answer this look answers the next, after the first list
        visit.until(lambda said=said: said in page.locator("#health").inner_text())
    assert page.evaluate("moved") < 0.02
    assert page.title() == "small · twinspire"


def test_a_user_is_found_and_an_event_changes_list_and_history(visit, running):
    visit.list_after(visit.open)
    page = visit.page
    page.locator("#user").fill("u1")
    answer = visit.list_after(lambda: page.get_by_role("option", name="u1", exact=True).click())
    assert answer.asked["user"] == "u1"
    assert answer.asked["shown"] is False
    assert page.url.endswith("/#user=u1")
    visit.until(lambda: visit.history() == [titled(item) for item in ("it's", "i21", "i20")])
    assert page.locator(".features").inner_text().split() == ["user", "u1", "country", "at", "age", "20"]
    assert page.locator(".why").count() == 10
    first = answer.said["items"][0]
    after = visit.list_after(lambda: page.locator(PLACES).first.locator("[data-act=Take]").click())
    assert first["item"] not in [one["item"] for one in after.said["items"]]
    visit.until(lambda: len(visit.history()) == 4)
    assert running.client.get("/users/u1").json()["history"][0]["item"] == first["item"]
    assert page.locator("#toast").inner_text().startswith("Taken: ")
    fresh = {one["item"] for one in after.said["items"]} - {one["item"] for one in answer.said["items"]}
    marked = page.locator(PLACES).filter(has=page.get_by_text("new", exact=True))  # which ones, the hour decides, too
    assert set(marked.evaluate_all("rows => rows.map((row) => row.dataset.item)")) == fresh != set()
    visit.list_after(page.get_by_role("button", name="Clear the user").click)
    assert "anonymous" in page.locator("#whom").inner_text()


def titled(item: str) -> str:
    row = small.IDS.index(item)
    return f"{HOSTILE if row % 2 else LONG} {item}" if row % 5 < 2 else f"Title of {item}"


def test_a_link_leads_to_a_user_that_nobody_knows(visit):
    visit.list_after(lambda: visit.open("/#user=%3Cb%3Enew%3C%2Fb%3E%20u99"))
    assert "<b>new</b> u99" in visit.page.locator("#whom").inner_text()
    assert "Nothing is known of this user." in visit.page.locator("#whom").inner_text()


def test_filters_diversity_and_places_change_the_list(visit):
    page = visit.open("/#user=u2").page
    page.locator(PLACES).nth(9).wait_for()
    only = visit.list_after(page.get_by_role("button", name="yes", exact=True).click)
    assert only.asked["filters"] == {"stock": ["yes"]}
    rows = [small.IDS.index(one["item"]) for one in only.said["items"]]
    assert {small.FILTERS["stock"][row] for row in rows} == {"yes"}
    visit.list_after(page.get_by_role("button", name="yes", exact=True).click)
    by_score = visit.list_after(lambda: page.get_by_label("Relevance").fill("1"))
    assert (by_score.asked["relevance"], by_score.asked["filters"]) == (1, {})
    scores = [one["score"] for one in by_score.said["items"]]
    assert scores == sorted(scores, reverse=True)
    diverse = visit.list_after(lambda: page.get_by_label("Relevance").fill("0.1"))
    assert diverse.said["items"] != by_score.said["items"]
    assert len(visit.list_after(lambda: page.get_by_label("Places").fill("3")).said["items"]) == 3


def test_filters_that_leave_nothing_say_so(visit):
    visit.page.route("**/recommend", lambda route: route.fulfill(json=EMPTY) if filtered(route) else route.continue_())
    page = visit.open().page
    page.locator(PLACES).first.wait_for()
    page.get_by_role("button", name="yes", exact=True).click()
    page.get_by_text("No item passes these filters.").wait_for()
    visit.list_after(page.get_by_role("button", name="Clear the filters").click)
    assert page.get_by_role("button", name="yes", exact=True).get_attribute("aria-pressed") == "false"


EMPTY = {"items": [], "source": "model", "model": "small", "version": 1, "arms": {}, "request": "x", "seconds": 0.001}


def filtered(route: Any) -> bool:
    return bool(json.loads(route.request.post_data)["filters"])


def test_a_visitor_says_what_is_liked(visit):
    visit.list_after(visit.open)
    page = visit.page
    one = visit.list_after(page.get_by_role("button", name="drama", exact=True).click)
    assert one.asked["likes"] == ["genre=drama"]
    item = visit.items()[2]
    two = visit.list_after(lambda: page.locator(PLACES).nth(2).locator("[data-act=Like]").click())
    assert two.asked["likes"] == ["genre=drama", item]
    assert visit.list_after(page.locator("#liked button").click).asked["likes"] == ["genre=drama"]


def test_an_item_is_found_with_its_neighbours(visit, running):
    visit.list_after(visit.open)
    page = visit.page
    page.locator("#item").fill("title of i99")
    page.get_by_role("option").first.click()
    expected = [one["title"] for one in running.ask("/similar", item="i99", k=10)["items"]]
    rows = page.locator(".near .plain")
    visit.until(lambda: rows.all_inner_texts() == [title.strip() for title in expected])
    assert "i99" in page.locator(".of").inner_text()
    page.locator("#item").fill("no such thing")
    page.get_by_text("No item has this id, or this in its title.").wait_for()


def test_it_works_by_keyboard_alone(visit):
    visit.list_after(visit.open)
    page, keys = visit.page, visit.page.keyboard

    def tab_to(what: str) -> None:
        for _ in range(80):
            keys.press("Tab")
            if page.evaluate(f"document.activeElement.matches({json.dumps(what)})"):
                outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert outline != "none"
                return
        raise AssertionError(f"no key leads to {what}")

    tab_to(".skip")
    tab_to("#user")
    keys.type("u")
    page.locator("#user-options [role=option]").first.wait_for()
    keys.press("ArrowDown")
    keys.press("ArrowDown")
    marked = page.locator("#user").get_attribute("aria-activedescendant")
    assert page.locator(f"#{marked}").inner_text() == "u2"
    assert visit.list_after(lambda: keys.press("Enter")).asked["user"] == "u2"
    assert page.locator("#user").get_attribute("aria-expanded") == "false"
    tab_to("#k")
    assert visit.list_after(lambda: keys.press("ArrowLeft")).asked["k"] == 9
    tab_to("[data-act=Similar]")
    keys.press("Enter")
    page.locator(".near li").first.wait_for()
    page.locator("[data-act=Take]").first.focus()
    visit.list_after(lambda: keys.press("Enter"))
    assert page.evaluate("document.activeElement.dataset.act") == "Take"  # the next item's: the focus is not lost
    keys.press("Shift+Tab")
    keys.press("Tab")
    assert page.evaluate("document.activeElement.dataset.act") == "Take"


def test_all_that_can_be_used_has_a_name(visit):
    visit.list_after(lambda: visit.open("/#user=u2"))
    nameless = visit.page.evaluate("""() => [...document.querySelectorAll("button, input, select, a, summary")]
        .filter((one) => !(one.getAttribute("aria-label") || one.textContent.trim() || one.labels?.length))
        .map((one) => one.outerHTML)""")
    assert nameless == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_fits_a_phone_and_the_dark(browser, running, dark):
    scheme = "dark" if dark else "light"
    with visiting(browser, running.address, viewport=PHONE, color_scheme=scheme) as visit:
        visit.list_after(visit.open)
        assert visit.overflow() == []
        visit.list_after(lambda: visit.open("/#user=u1"))
        visit.page.locator("#controls summary").click()
        visit.page.locator("[data-act=Similar]").first.click()
        visit.page.locator(".near li").first.wait_for()
        assert visit.page.evaluate("scrollY") > 500  # it went to what was asked for
        assert visit.overflow() == []
        assert contrast(visit.page) > 12


def contrast(page: Any) -> float:
    """Of text on the page: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio."""
    ink, paper = page.evaluate("""() => ["color", "backgroundColor"].map((name) =>
        getComputedStyle(document.body)[name].match(/\\d+/g).map(Number))""")

    def light(colour: list[int]) -> float:
        parts = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    dim, bright = sorted((light(ink), light(paper)))
    return (bright + 0.05) / (dim + 0.05)


# --- what may go wrong ----------------------------------------------------------------------------------------


def test_titles_are_text_whatever_they_hold(visit):
    visit.list_after(visit.open)
    page = visit.page
    visit.list_after(lambda: page.get_by_label("Places").fill("50"))
    assert sum(HOSTILE.strip() in title for title in page.locator(".title").all_inner_texts()) > 5
    hostile = page.locator(PLACES).filter(has_text="<img").first
    hostile.get_by_role("button", name="Neighbours").click()
    page.locator(".of", has_text="<img").wait_for()
    visit.list_after(hostile.locator("[data-act=Like]").click)
    page.locator("#item").fill("<script>")
    page.get_by_role("option").first.wait_for()
    assert page.locator("img, main script").count() == 0
    assert page.title() == "small · twinspire"


def test_what_the_server_refuses_is_said_where_it_belongs(browser, running):
    with visiting(browser, running.address, errors=("422",)) as visit:
        visit.list_after(visit.open)
        page = visit.page
        page.locator("#controls summary").click()
        page.locator("#feature-age").fill("old")
        page.locator("#places", has_text="age: found 'old', expected a finite number").wait_for()
        assert visit.list_after(lambda: page.locator("#feature-age").fill("33")).asked["features"] == {"age": 33}


def test_an_answer_that_comes_too_late_is_dropped(visit):
    visit.list_after(visit.open)
    page, held = visit.page, []
    page.route("**/recommend", lambda route: held.append(route) if not held else route.continue_())
    page.get_by_label("Places").fill("4")
    visit.until(lambda: bool(held))
    visit.list_after(lambda: page.get_by_label("Places").fill("6"))
    held[0].fulfill(json=EMPTY)
    page.wait_for_timeout(200)
    assert len(visit.items()) == 6


def test_the_key_is_asked_for_a_slow_model_shows_and_a_server_that_stopped_is_waited_for(browser, model, tmp_path):
    settings = ('api_key="correct-horse"', "limits.deadline=0.4")
    errors = ("401", "ERR_CONNECTION_REFUSED", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET", "503")
    with serving(model, tmp_path / "state", *settings, ready=False) as first:
        first.client.headers["X-API-Key"] = "correct-horse"
        first.ready()
        with visiting(browser, first.address, errors=errors) as visit:
            page = visit.open().page
            page.get_by_role("button", name="Not now").click()
            page.locator(".failure", has_text="expected the API key").get_by_role("button", name="Try again").click()
            page.get_by_label("API key").fill("wrong-horse")
            page.get_by_role("button", name="Use it").click()
            page.get_by_text("That key was refused.").wait_for()
            page.get_by_label("API key").fill("correct-horse")
            page.keyboard.press("Enter")
            page.locator(PLACES).nth(9).wait_for()
            visit.open("/#user=u2").page.reload()  # the tab keeps the key
            page.locator(PLACES).nth(9).wait_for()
            worker = first.worker()
            os.kill(worker, signal.SIGSTOP)
            page.get_by_label("Places").fill("5")
            page.locator("#said", has_text="fallback: deadline").wait_for()
            assert first.status()["fallbacks"]["deadline"] >= 1
            os.kill(worker, signal.SIGCONT)
            first.process.send_signal(signal.SIGTERM)
            page.locator("#trouble", has_text="The server does not answer.").wait_for()
            first.process.wait(30)
            port = int(first.address.rsplit(":", 1)[1])
            with serving(model, tmp_path / "state", *settings, port=port):
                page.locator(PLACES).nth(4).wait_for()
                page.locator("#said", has_text="model 5 items").wait_for()
                assert [*(tmp_path / "state/logs").rglob("exposures/*.parquet")] == []  # to look is no exposure
                assert page.locator("#trouble").inner_text() == ""


def test_known_values_of_features_are_offered(visit):
    visit.list_after(visit.open)
    page = visit.page
    page.locator("#controls summary").click()
    offered = page.locator("#feature-country").evaluate("input => [...input.list.options].map((one) => one.value)")
    assert offered == small.COUNTRIES
    assert page.locator("#feature-age").evaluate("input => input.list") is None
    answer = visit.list_after(lambda: page.locator("#feature-country").fill(offered[0]))
    assert answer.asked["features"] == {"country": "at"}


@pytest.mark.parametrize("given", [{}, {"viewport": PHONE}], ids=["wide", "phone"])
def test_without_a_version_it_says_what_to_do_and_comes_to_life_when_one_arrives(browser, model, tmp_path, given):
    with (
        serving(tmp_path / "small", tmp_path / "state", ready=False) as running,
        visiting(browser, running.address, errors=("503",), **given) as visit,
    ):
        page = visit.open().page
        page.locator("#waiting h3", has_text="No version of small is loaded yet").wait_for()
        words = page.locator("#waiting").inner_text()
        assert str(tmp_path / "small") in words
        assert "twinspire publish RUN" in words
        assert "Servable" not in page.locator("body").inner_text()
        assert visit.overflow() == []
        page.locator("#item").fill("i99")
        page.locator(".none", has_text="no version of small is loaded yet").wait_for()
        damaged = small.copy(model / "1", tmp_path / "damaged")
        (damaged / "saved_model.pb").unlink()
        (tmp_path / "small").mkdir()
        damaged.rename(tmp_path / "small" / "1")
        page.locator("#waiting", has_text="Version 1 was refused: bundle:").wait_for()
        publish(model / "1", tmp_path / "small", 2)
        page.locator(PLACES).nth(9).wait_for()
        page.locator("#said", has_text="version 2").wait_for()
        assert page.locator("#waiting").count() == 0
        page.get_by_label("Places").wait_for()


def test_an_open_page_says_that_what_it_showed_was_withdrawn(browser, model, tmp_path):
    bundles = tmp_path / "small"
    publish(model / "1", bundles, 1)
    with (
        serving(bundles, tmp_path / "state") as running,
        visiting(browser, running.address, errors=("503",)) as visit,
    ):
        page = visit.open().page
        page.locator(PLACES).nth(9).wait_for()
        write_rollout(bundles, Rollout(withdrawn=(1,)))
        page.locator("#waiting h3", has_text="Every version of small was withdrawn").wait_for()
        assert page.locator(PLACES).count() == 0
        assert "Publish another run" in page.locator("#waiting").inner_text()
        write_rollout(bundles, Rollout())
        page.locator(PLACES).nth(9).wait_for()
    (bundles / "rollout.json").write_text("{")
    with (
        serving(bundles, tmp_path / "other", ready=False) as running,
        visiting(browser, running.address, errors=("503",)) as visit,
    ):
        page = visit.open().page
        page.locator("#waiting h3", has_text="as any may have been withdrawn").wait_for()
        words = page.locator("#waiting").inner_text()
        assert (str(bundles / "rollout.json") in words, "twinspire publish" in words) == (True, False)


# --- the description of the interface -------------------------------------------------------------------------


def test_the_interface_is_described_and_can_be_tried(visit, running):
    paths = running.client.get("/openapi.json").json()["paths"]
    page = visit.open("/docs#post-recommend").page
    form = page.locator("#post-recommend form")
    form.wait_for()
    shown = set(page.locator("main > section > details > summary code").all_inner_texts())
    assert shown == set(paths)
    fields = page.locator("#post-recommend .fields").first.inner_text()
    assert "integer; at least 1; default 10" in fields
    assert "number; 0 to 1" in fields
    assert json.loads(form.locator("textarea").input_value()) == {"user": "u1", "k": 10}
    form.get_by_role("button", name="Send").click()
    form.locator("pre", has_text='"source": "model"').wait_for()
    form.locator("textarea").fill("{")
    form.get_by_role("button", name="Send").click()
    form.get_by_text("The body is not JSON").wait_for()
    page.goto(running.address + "/docs#get-users-user")
    user = page.locator("#get-users-user form")
    user.locator("input").fill("u1")
    user.get_by_role("button", name="Send").click()
    user.locator("pre", has_text='"country": "at"').wait_for()
    page.set_viewport_size(PHONE)
    assert visit.overflow() == []


def test_files_are_kept_until_they_change_and_ask_nobody_else(running):
    page = Path(small.__file__).parents[2] / "serving" / "server" / "page"
    for path in ("/", "/docs", *(f"/page/{file.name}" for file in page.iterdir())):
        found = running.client.get(path)
        assert found.status_code == 200, path
        assert found.headers["content-security-policy"].startswith("default-src 'self';")
        assert "http" not in found.text.replace("http://www.w3.org/2000/svg", "").replace("https://www.w3.org/WAI", "")
        again = running.client.get(path, headers={"If-None-Match": found.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    assert running.client.get("/page/..%2Fpages.py").status_code == 404
    assert running.client.get("/page/none.js").json() == {"error": "page: there is no 'none.js'"}


def test_what_can_be_asked_is_told(running):
    said = running.client.get("/catalogue").json()
    assert (said["model"], said["version"], said["items"], said["most"]) == ("small", 1, small.ITEMS, small.ITEMS)
    regions = {name for text in small.FILTERS["region"] for name in text.split("|") if name}
    assert {one["name"]: set(one["values"]) for one in said["filters"]} == {"stock": {"yes", "no"}, "region": regions}
    likes = {one["name"]: one["values"] for one in said["likes"]}
    assert likes == {"genre": ["comedy", "drama"], "tags": ["a", "b", "c"]}
    assert (said["relevance"], said["neighbours"], said["clock"], said["kinds"]) == (0.6, True, True, [])
    of_user = [one["name"] for one in said["features"] if one["of"] == "user"]
    of_request = [one["name"] for one in said["features"] if one["of"] == "request"]
    values = {one["name"]: (one["values"], one["more"]) for one in said["features"]}
    assert values["country"] == (small.COUNTRIES, False)
    assert (values["device"], values["age"]) == ((["phone", "tv"], False), ([], False))
    assert (of_user, of_request) == (["country", "age"], ["device", "battery", "mood", "departure"])

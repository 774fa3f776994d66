"""The real TensorBoard on a real run and on a search: its answers, and what a browser makes of them."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import Any
from urllib.parse import quote

import pytest
from matplotlib.figure import Figure

from pipelines.board import write_report_board
from tests.browser import chromium
from tests.conftest import Demo
from tests.pipelines import searches
from tests.runs import COMMAND

pytestmark = pytest.mark.slow
_PATIENCE = 60  # seconds
# All text of a page, of the shadow trees and frames in it too.
_TEXT = """
(function read(node) {
  if (node.nodeType === Node.TEXT_NODE) return node.data + " ";
  if (["STYLE", "SCRIPT", "TEMPLATE"].includes(node.nodeName)) return "";
  const inside = [...node.childNodes, ...(node.shadowRoot ? [node.shadowRoot] : [])];
  if (node.nodeName === "IFRAME" && node.contentDocument) inside.push(node.contentDocument);
  return inside.map(read).join("") + (node.value || "") + " ";
})(document)
"""


@contextmanager
def _ended(process: Popen) -> Iterator[Popen]:
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


class _Board:
    """A TensorBoard, started by the command."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("localhost", 0))
            self.port = free.getsockname()[1]
        command = [COMMAND, "tensorboard", str(folder), "--port", str(self.port)]
        self.process = Popen(command, stdout=DEVNULL, stderr=DEVNULL)

    def ask(self, path: str, data: dict[str, Any] | None = None) -> Any:
        """The answer as JSON, or as bytes if it is none."""
        body = json.dumps(data).encode() if data is not None else None
        request = urllib.request.Request(self.url(path), body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            found = answer.read()
        return json.loads(found) if "json" in answer.headers["Content-Type"] else found

    def url(self, path: str) -> str:
        return f"http://localhost:{self.port}/{path}"

    def wait(self, runs: set[str], plugins: set[str]) -> tuple[set[str], set[str]]:
        """Runs and active plugins, once they hold those or patience is over."""
        found: tuple[set[str], set[str]] = (set(), set())
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until and not (runs <= found[0] and plugins <= found[1]):
            assert self.process.poll() is None, "TensorBoard has ended"
            try:
                listing = self.ask("data/plugins_listing")
                found = set(self.ask("data/runs")), {name for name, one in listing.items() if one["enabled"]}
            except OSError:
                pass
            time.sleep(0.3)
        return found


@pytest.fixture(scope="module")
def search(tmp_path_factory) -> tuple[Path, list]:
    """A search's folder, and what was tried."""
    folder, config = tmp_path_factory.mktemp("search"), searches.config(trials=8)
    (folder / "config.json").write_text(config.model_dump_json())
    return folder, searches.run(config, folder)


@pytest.fixture(scope="module")
def run(demo: Demo) -> Path:
    """The demo with a picture of ours in its report."""
    copy = demo.run.with_name(f"board-of-{demo.run.name}")
    shutil.copytree(demo.run, copy, symlinks=True)
    figure = Figure()
    figure.subplots().plot([1, 2])
    write_report_board(copy / "report" / "tensorboard", {"decision/verdict": "not ready"}, {"funnel/lost": figure})
    return copy


@pytest.fixture(scope="module")
def boards(search, run) -> Iterator[tuple[_Board, _Board]]:
    """TensorBoard on the run, and on the search."""
    one, other = _Board(run), _Board(search[0])
    with _ended(one.process), _ended(other.process):
        yield one, other


def test_a_runs_scalars_texts_pictures_and_projector_are_served(boards, run):
    board, _ = boards
    stages, active = {"train", "index", "gate", "rank", "report"}, {"scalars", "text", "images", "projector"}
    runs, plugins = board.wait(stages, active)
    assert runs >= stages
    assert plugins >= active
    scalars = board.ask("data/plugin/scalars/tags")
    assert "towers/recall" in scalars["train"]
    assert any(tag.startswith("test recall@100/region") for tag in scalars["gate"])
    assert "not ready" in board.ask("data/plugin/text/text?run=report&tag=decision%2Fverdict")[0]["text"]
    (image,) = board.ask("data/plugin/images/images?run=report&tag=funnel%2Flost&sample=0")
    assert board.ask(f"data/plugin/images/individualImage?{image['query']}").startswith(b"\x89PNG")
    assert board.ask("data/plugin/projector/runs") == ["index"]
    (embedding,) = board.ask("data/plugin/projector/info?run=index")["embeddings"]
    items, width = embedding["tensorShape"]
    vectors = board.ask("data/plugin/projector/tensor?run=index&name=items")
    assert len(vectors) == items * width * 4
    lines = board.ask("data/plugin/projector/metadata?run=index&name=items").decode().splitlines()
    assert len(lines) == items + 1
    assert lines[0].split("\t")[:3] == ["title", "item", "category"]


def test_a_searchs_table_is_served(boards, search):
    _, board = boards
    _, tried = search
    names = {f"trial-{one.place:02}" for one in tried}
    runs, plugins = board.wait(names, {"hparams", "scalars"})
    assert runs >= names
    assert plugins >= {"hparams", "scalars"}
    experiment = board.ask("data/plugin/hparams/experiment", {"experimentName": ""})
    assert {info["name"] for info in experiment["hparamInfos"]} == {"towers.dropout", "train.batch"}
    recall = experiment["metricInfos"][0]["name"]
    asked = {"experimentName": "", "sliceSize": 100, "colParams": [{"metric": recall}]}
    asked["allowedStatuses"] = ["STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING", "STATUS_UNKNOWN"]
    groups = board.ask("data/plugin/hparams/session_groups", asked)["sessionGroups"]
    found = {group["name"]: group for group in groups}
    assert set(found) == names
    for one in tried:
        group = found[f"trial-{one.place:02}"]
        assert group["hparams"]["towers.dropout"] == one.values["towers.dropout"]
        (value,) = (metric["value"] for metric in group["metricValues"] if metric["name"] == recall)
        assert value == pytest.approx(one.scalars["recall"])


def test_the_projector_and_the_table_come_up_in_a_browser(boards, search, run, tmp_path):
    board, other = boards
    board.wait({"index"}, {"projector"})
    other.wait({"trial-08"}, {"hparams"})
    items = len((run / "index" / "tensorboard" / "items.tsv").read_text().splitlines())
    texts, errors = asyncio.run(
        _look(
            [
                (board.url("#projector"), f"Points: {items}"),
                (other.url("#hparams"), "trial-08"),
                (board.url("#text"), "not ready"),
            ],
            tmp_path,
        )
    )
    projector, table, text = texts
    assert f"Points: {items}" in projector
    assert "Label by title" in projector
    for column in ("towers.dropout", "train.batch", "recall@100", "ndcg@10"):
        assert column in table
    for one in search[1]:
        assert f"trial-{one.place:02}" in table
    assert "not ready" in text
    assert not errors


async def _look(pages: list[tuple[str, str]], scratch: Path) -> tuple[list[str], list[str]]:
    """The text of each page once it holds what is expected or patience is over, and uncaught errors.

    Chromium is asked through its own protocol (https://chromedevtools.github.io/devtools-protocol): what TensorBoard
    shows lies in shadow trees, which a printed page does not hold.
    """
    from tornado.websocket import websocket_connect

    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    flags += " --disable-component-update --disable-sync --window-size=1400,900 --remote-debugging-port=0"
    command = [chromium(), *flags.split(), f"--user-data-dir={scratch / 'profile'}", "about:blank"]
    with _ended(Popen(command, stdout=DEVNULL, stderr=PIPE, text=True)) as browser:
        address = next(found[1] for line in browser.stderr if (found := re.search(r"ws://([^/]+)/", line)))
        texts, errors = [], []
        for url, expected in pages:
            new = urllib.request.Request(f"http://{address}/json/new?{quote(url, safe='')}", method="PUT")
            with urllib.request.urlopen(new, timeout=20) as answer:
                page = await websocket_connect(json.load(answer)["webSocketDebuggerUrl"], max_message_size=2**28)
            await page.write_message(json.dumps({"id": 0, "method": "Runtime.enable"}))
            text, until, asked = "", time.monotonic() + _PATIENCE, 0
            while expected not in text and time.monotonic() < until:
                asked += 1
                evaluate = {"expression": _TEXT, "returnByValue": True}
                await page.write_message(json.dumps({"id": asked, "method": "Runtime.evaluate", "params": evaluate}))
                while (said := json.loads(await page.read_message())).get("id") != asked:
                    if said.get("method") == "Runtime.exceptionThrown":
                        errors.append(json.dumps(said["params"])[:500])
                text = " ".join(said["result"]["result"]["value"].split())
                await asyncio.sleep(0.3)
            texts.append(text)
        return texts, errors
